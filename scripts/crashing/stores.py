"""Real ZooKeepers and a real HDFS, as tests/servers has them: each with ports and a directory of its own."""
import hashlib
import json
import os
import signal
import socket
import subprocess
import time
import urllib.request

from .proxy import Proxy

SECONDS = 120
JAVA = ["-Xmx256m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1"]
HADOOP = JAVA + ["--add-opens=java.base/java.lang=ALL-UNNAMED"]
NAMENODE = "org.apache.hadoop.hdfs.server.namenode.NameNode"
DATANODE = "org.apache.hadoop.hdfs.server.datanode.DataNode"
LOGGING = """log4j.rootLogger=WARN,out
log4j.appender.out=org.apache.log4j.ConsoleAppender
log4j.appender.out.layout=org.apache.log4j.PatternLayout
log4j.appender.out.layout.ConversionPattern=%d %p %c: %m%n
"""
PATH = "/doyen"


def jars(server):
    directory = os.path.join(os.environ.get("DOYEN_SERVERS", ""), server)
    if not os.path.exists(os.path.join(directory, ".complete")):
        raise SystemExit("stores: no jars of %s: run scripts/setup, and `source scripts/env` first" % server)
    return os.path.join(directory, "*")


def free_ports(count):
    """Of numbers that no outgoing connection is given; others may take one before it is listened on."""
    found, port = [], 20000 + os.getpid() % 1000 * 12
    while len(found) < count:
        port += 1
        with socket.socket() as one:
            try:
                one.bind(("127.0.0.1", port))
                found.append(port)
            except OSError:
                pass
    return found


def until(what, holds):
    end = time.monotonic() + SECONDS
    while not holds():
        if time.monotonic() > end:
            raise SystemExit("stores: %s did not come" % what)
        time.sleep(0.1)


class Process:
    def __init__(self, command, directory):
        os.makedirs(directory, exist_ok=True)
        self._command, self._directory = command, directory
        self.start()

    def start(self):
        with open(os.path.join(self._directory, "out"), "ab") as out:
            self._child = subprocess.Popen(self._command, cwd=self._directory, stdin=subprocess.DEVNULL, stdout=out,
                                           stderr=out)

    def send(self, what):
        self._child.send_signal(what)

    def kill(self):
        # One that stands still dies as well.
        self._child.kill()
        self._child.wait()


class ZooKeeper:
    """Three servers, each behind a proxy."""

    def __init__(self, directory):
        ports = free_ports(9)
        self._ports, self.servers = ports[:3], []
        peers = "".join("server.%d=127.0.0.1:%d:%d\n" % (n + 1, ports[3 + n], ports[6 + n]) for n in range(3))
        for number, port in enumerate(self._ports):
            home = os.path.join(directory, "zookeeper%d" % number)
            os.makedirs(os.path.join(home, "data"))
            with open(os.path.join(home, "data", "myid"), "w") as file:
                file.write("%d" % (number + 1))
            with open(os.path.join(home, "zoo.cfg"), "w") as file:
                file.write("tickTime=500\ninitLimit=20\nsyncLimit=10\ndataDir=data\nclientPort=%d\nclientPortAddress=127.0.0.1\n"
                           "maxClientCnxns=0\nadmin.enableServer=false\n4lw.commands.whitelist=*\n%s" % (port, peers))
            command = ["java"] + JAVA + ["-Dzookeeper.forceSync=no", "-Dzookeeper.preAllocSize=1024", "-cp",
                                         jars("zookeeper"), "org.apache.zookeeper.server.quorum.QuorumPeerMain", "zoo.cfg"]
            self.servers.append(Process(command, home))
        self.proxies = [Proxy(("127.0.0.1", port)) for port in self._ports]
        self.wait()

    def _mode(self, number):
        try:
            with socket.create_connection(("127.0.0.1", self._ports[number]), 5) as one:
                one.sendall(b"srvr")
                answer = b""
                while piece := one.recv(4096):
                    answer += piece
        except OSError:
            return ""
        return answer.partition(b"Mode: ")[2].split(b"\n")[0].decode()

    def wait(self):
        until("a ZooKeeper", lambda: all(self._mode(number) for number in range(3)))

    def leader(self):
        return next((number for number in range(3) if self._mode(number) == "leader"), 0)


class Hdfs:
    """A NameNode behind a proxy, and a DataNode."""

    def __init__(self, directory):
        self._home, conf = os.path.join(directory, "hdfs"), os.path.join(directory, "hdfs", "conf")
        rpc, self._http = free_ports(11)[9:]
        os.makedirs(conf)
        local = "127.0.0.1:%d"
        self._properties(os.path.join(conf, "core-site.xml"), {"fs.defaultFS": "hdfs://" + local % rpc,
                                                               "hadoop.tmp.dir": os.path.join(self._home, "tmp")})
        self._properties(os.path.join(conf, "hdfs-site.xml"), {
            "dfs.replication": 1, "dfs.blocksize": 8 << 20, "dfs.namenode.safemode.extension": 0, "dfs.heartbeat.interval": 1,
            "dfs.namenode.name.dir": os.path.join(self._home, "name"), "dfs.namenode.rpc-address": local % rpc,
            "dfs.datanode.data.dir": os.path.join(self._home, "data"), "dfs.namenode.http-address": local % self._http,
            "dfs.datanode.address": local % 0, "dfs.datanode.http.address": local % 0, "dfs.datanode.ipc.address": local % 0})
        with open(os.path.join(conf, "log4j.properties"), "w") as file:
            file.write(LOGGING)
        self._words = ["java"] + HADOOP + ["-cp", "%s:%s" % (conf, jars("hadoop"))]
        self._run([NAMENODE, "-format", "-force", "-nonInteractive"])
        self.namenode = Process(self._words + [NAMENODE], os.path.join(self._home, "namenode"))
        self.datanode = Process(self._words + [DATANODE], os.path.join(self._home, "datanode"))
        self.proxy = Proxy(("127.0.0.1", rpc))
        self.wait()

    @staticmethod
    def _properties(path, values):
        lines = ("<property><name>%s</name><value>%s</value></property>" % pair for pair in values.items())
        with open(path, "w") as file:
            file.write("<configuration>%s</configuration>" % "".join(lines))

    def _run(self, arguments):
        """What it says on stdout."""
        done = subprocess.run(self._words + arguments, capture_output=True, text=True, check=False)
        if done.returncode:
            raise SystemExit("stores: %s: %s" % (arguments, done.stderr))
        return done.stdout

    def admin(self, *arguments):
        self._run(["org.apache.hadoop.hdfs.tools.DFSAdmin", *arguments])

    def _ask(self, path):
        with urllib.request.urlopen("http://127.0.0.1:%d%s" % (self._http, path), timeout=30) as answer:
            return answer.read()

    def _datanodes(self):
        try:
            return json.loads(self._ask("/jmx?qry=Hadoop:service=NameNode,name=FSNamesystemState"))["beans"][0]["NumLiveDataNodes"]
        except (OSError, LookupError):
            return 0

    def wait(self):
        until("a DataNode", lambda: self._datanodes() == 1)

    def files(self, path):
        """Names, without directories."""
        listed = self._run(["org.apache.hadoop.fs.FsShell", "-ls", "-R", path])
        return [line.split("/")[-1] for line in listed.splitlines() if line.startswith("-")]

    def blocks(self):
        """Hashes of all blocks of the DataNode: what is smaller than a block is one."""
        for directory, _, names in os.walk(os.path.join(self._home, "data")):
            for name in names:
                if name.startswith("blk_") and not name.endswith(".meta") and "finalized" in directory:
                    with open(os.path.join(directory, name), "rb") as block:
                        yield hashlib.sha256(block.read()).hexdigest()


class Stores:
    def __init__(self, directory):
        self.zookeeper, self.hdfs = None, None
        try:
            self.zookeeper = ZooKeeper(directory)
            self.hdfs = Hdfs(directory)
        except BaseException:
            self.stop()
            raise

    def settings(self):
        servers = ", ".join('"%s"' % proxy.address for proxy in self.zookeeper.proxies)
        return ['store.metadata="zookeeper"', "zookeeper.servers=[%s]" % servers, 'zookeeper.chroot="%s"' % PATH,
                'zookeeper.session-timeout="4s"', 'zookeeper.commit-timeout="5s"', 'store.binaries="hdfs"',
                'store.hdfs.url="hdfs://%s"' % self.hdfs.proxy.address, 'store.hdfs.path="%s"' % PATH,
                'store.hdfs.deadline="5s"']

    def blobs(self):
        """Names of the blobs that there are, and of those among them whose content is another."""
        hashes = set(self.hdfs.blocks())
        names = {name for name in self.hdfs.files(PATH) if len(name) == 64}
        return names & hashes, names - hashes

    def stop(self):
        processes = list(self.zookeeper.servers if self.zookeeper else [])
        if self.hdfs:
            processes += [self.hdfs.namenode, self.hdfs.datanode]
        for process in processes:
            process.kill()
