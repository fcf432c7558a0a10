"""A ZooKeeper and an HDFS of one NameNode and one DataNode, as processes with ports and a directory of their own. The jars are
those of the tests: scripts/servers/fetch puts them into the cache."""
import os
import socket
import subprocess
import time
import urllib.request

from .server import MARK, Failure

START_SECONDS, STOP_SECONDS = 300, 30
NAMENODE = "org.apache.hadoop.hdfs.server.namenode.NameNode"
DATANODE = "org.apache.hadoop.hdfs.server.datanode.DataNode"
LIVE = "/jmx?qry=Hadoop:service=NameNode,name=FSNamesystemState"
LOGGING = """log4j.rootLogger=WARN,out
log4j.appender.out=org.apache.log4j.ConsoleAppender
log4j.appender.out.layout=org.apache.log4j.PatternLayout
log4j.appender.out.layout.ConversionPattern=%d %p %c: %m%n
"""


def free_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


class Java:
    """One process; it ends with `stop`, or with the clean-up of its place."""

    def __init__(self, place, directory, name, arguments, class_path, heap):
        self._log = os.path.join(directory, name + ".log")
        self._command = ["java", "-Xmx" + heap, "-XX:+UseSerialGC", *arguments[:-1], "-cp", class_path, *arguments[-1].split()]
        environment = {**os.environ, MARK: place.run}
        with open(self._log, "ab") as log:
            self.process = subprocess.Popen(self._command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd=directory,
                                            env=environment)

    def wait(self, is_there):
        end = time.monotonic() + START_SECONDS
        while time.monotonic() < end and self.process.poll() is None:
            try:
                if is_there():
                    return
            except OSError:
                pass  # it does not listen yet
            time.sleep(0.1)
        with open(self._log, encoding="utf-8", errors="replace") as log:
            raise Failure("%s does not serve: %s" % (self._command[-1], log.read()[-2000:]))

    def stop(self):
        self.process.terminate()
        try:
            self.process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


def jars(name):
    path = os.path.join(os.environ["DOYEN_SERVERS"], name)
    if not os.path.exists(os.path.join(path, ".complete")):
        raise Failure("%s is missing: run scripts/setup" % path)
    return path


class ZooKeeper:
    """One server, which flushes its log to the disk before it answers, as it does by default."""

    def __init__(self, place):
        directory, port = place.fresh(), free_port()
        with open(os.path.join(directory, "zoo.cfg"), "w", encoding="utf-8") as file:
            file.write("tickTime=2000\ndataDir=data\nclientPort=%d\nclientPortAddress=127.0.0.1\nmaxClientCnxns=0\n"
                       "admin.enableServer=false\n4lw.commands.whitelist=*\n" % port)
        self.address = "127.0.0.1:%d" % port
        main = "org.apache.zookeeper.server.quorum.QuorumPeerMain zoo.cfg"
        self._java = Java(place, directory, "zookeeper", [main], jars("zookeeper") + "/*", "3g")
        self.pid = self._java.process.pid
        self._java.wait(lambda: b"Mode:" in self._says(b"srvr"))

    def _says(self, word):
        host, port = self.address.split(":")
        with socket.create_connection((host, int(port)), timeout=5) as connection:
            connection.sendall(word)
            connection.shutdown(socket.SHUT_WR)
            return connection.makefile("rb").read()

    def stop(self):
        self._java.stop()


class Hdfs:
    """Formatted, with a DataNode that has registered."""

    def __init__(self, place):
        self._home = place.fresh()
        self._rpc, self._http = free_port(), free_port()
        self._configure()
        self.url = "hdfs://127.0.0.1:%d" % self._rpc
        formatting = self._start(place, "format", NAMENODE + " -format -force -nonInteractive")
        if formatting.process.wait(START_SECONDS) != 0:
            raise Failure("the NameNode could not be formatted")
        self._processes = [self._start(place, "namenode", NAMENODE), self._start(place, "datanode", DATANODE)]
        self._processes[0].wait(self._has_datanode)

    def _start(self, place, name, main):
        class_path = "%s:%s/*" % (os.path.join(self._home, "conf"), jars("hadoop"))
        return Java(place, self._home, name, ["--add-opens=java.base/java.lang=ALL-UNNAMED", main], class_path, "512m")

    def _configure(self):
        conf = os.path.join(self._home, "conf")
        os.mkdir(conf)
        core = {"fs.defaultFS": "hdfs://127.0.0.1:%d" % self._rpc, "hadoop.tmp.dir": os.path.join(self._home, "tmp")}
        hdfs = {
            "dfs.replication": "1",
            "dfs.namenode.name.dir": os.path.join(self._home, "name"),
            "dfs.datanode.data.dir": os.path.join(self._home, "data"),
            "dfs.namenode.rpc-address": "127.0.0.1:%d" % self._rpc,
            "dfs.namenode.http-address": "127.0.0.1:%d" % self._http,
            "dfs.datanode.address": "127.0.0.1:0",
            "dfs.datanode.http.address": "127.0.0.1:0",
            "dfs.datanode.ipc.address": "127.0.0.1:0",
            "dfs.namenode.safemode.extension": "0",
            "dfs.heartbeat.interval": "1",
        }
        for name, properties in (("core-site.xml", core), ("hdfs-site.xml", hdfs)):
            lines = ("<property><name>%s</name><value>%s</value></property>" % pair for pair in properties.items())
            with open(os.path.join(conf, name), "w", encoding="utf-8") as file:
                file.write("<configuration>%s</configuration>" % "".join(lines))
        with open(os.path.join(conf, "log4j.properties"), "w", encoding="utf-8") as file:
            file.write(LOGGING)

    def _has_datanode(self):
        with urllib.request.urlopen("http://127.0.0.1:%d%s" % (self._http, LIVE), timeout=5) as answer:
            return b'"NumLiveDataNodes" : 1' in answer.read()

    def stop(self):
        for process in self._processes:
            process.stop()
