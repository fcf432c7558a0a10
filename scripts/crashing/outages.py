"""Which store goes away, how, and for how long: a plan that a seed repeats."""
import collections
import random
import signal
import time

from . import proxy
from .stores import PATH

KINDS = {
    "ZooKeeper: leader killed": 10,
    "ZooKeeper: quorum lost": 6,
    "ZooKeeper: a server frozen": 6,
    "ZooKeeper: link cut": 10,
    "ZooKeeper: link silent": 6,
    "ZooKeeper: answers lost": 8,
    "ZooKeeper: answers slow": 4,
    "server stopped for longer than its session": 6,
    "HDFS: NameNode frozen": 8,
    "HDFS: link to the NameNode cut": 6,
    "HDFS: DataNode killed": 8,
    "HDFS: full": 4,
    "HDFS: safe mode": 5,
    "server killed": 8,
    "server killed while ZooKeeper is away": 5,
    "server killed while HDFS is away": 4,
    "both stores away": 4,
}

Outage = collections.namedtuple("Outage", "pause kind seconds pick")


def plan(seed, only=None):
    """So long a pause, then this for so many seconds, for ever."""
    chance = random.Random("%s outages" % seed)
    kinds = {kind: weight for kind, weight in KINDS.items() if not only or kind in only}
    while True:
        kind = chance.choices(list(kinds), kinds.values())[0]
        seconds = chance.uniform(10, 20) if "quorum" in kind or "slow" in kind else chance.uniform(1, 12)
        yield Outage(chance.uniform(2, 8), kind, seconds, chance.randrange(3))


def weather(proxies, what, seconds):
    for one in proxies:
        one.set(what)
    time.sleep(seconds)
    for one in proxies:
        one.set(proxy.FAIR)


def zookeeper(stores, outage):
    servers, kind = stores.zookeeper.servers, outage.kind.split(": ")[1]
    leader = stores.zookeeper.leader()
    words = {"link cut": proxy.CUT, "link silent": proxy.SILENT, "answers lost": proxy.ANSWERS_LOST,
             "answers slow": proxy.SLOW}
    if kind in words:
        weather(stores.zookeeper.proxies, words[kind], outage.seconds)
    elif kind == "a server frozen":
        servers[outage.pick].send(signal.SIGSTOP)
        time.sleep(outage.seconds)
        servers[outage.pick].send(signal.SIGCONT)
    else:
        gone = [leader] if kind == "leader killed" else [leader, (leader + 1) % 3]
        for number in gone:
            servers[number].kill()
        time.sleep(outage.seconds)
        for number in gone:
            servers[number].start()
        stores.zookeeper.wait()


def hdfs(stores, outage):
    store, kind = stores.hdfs, outage.kind.split(": ")[1]
    if kind == "NameNode frozen":
        store.namenode.send(signal.SIGSTOP)
        time.sleep(outage.seconds)
        store.namenode.send(signal.SIGCONT)
    elif kind == "DataNode killed":
        store.datanode.kill()
        time.sleep(outage.seconds)
        store.datanode.start()
        store.wait()
    elif kind == "full":
        store.admin("-setSpaceQuota", "1m", PATH)
        time.sleep(outage.seconds)
        store.admin("-clrSpaceQuota", PATH)
    elif kind == "safe mode":
        store.admin("-safemode", "enter")
        time.sleep(outage.seconds)
        store.admin("-safemode", "leave")
    else:
        weather([store.proxy], proxy.CUT, outage.seconds)


def killed_while_away(place, proxies, seconds):
    """The next server starts while the stores are away, and waits for them."""
    for one in proxies:
        one.set(proxy.CUT)
    place.kill_server()
    place.launch()
    time.sleep(seconds)
    for one in proxies:
        one.set(proxy.FAIR)
    place.until_ready()


def perform(place, stores, outage):
    kind = outage.kind
    if kind.startswith("ZooKeeper"):
        zookeeper(stores, outage)
    elif kind.startswith("HDFS"):
        hdfs(stores, outage)
    elif kind == "server killed":
        place.kill_server()
        place.start()
    elif kind == "server killed while ZooKeeper is away":
        killed_while_away(place, stores.zookeeper.proxies, outage.seconds)
    elif kind == "server killed while HDFS is away":
        killed_while_away(place, [stores.hdfs.proxy], outage.seconds)
    elif kind == "both stores away":
        weather(stores.zookeeper.proxies + [stores.hdfs.proxy], proxy.CUT, outage.seconds)
    else:
        place.server.send_signal(signal.SIGSTOP)
        # ZooKeeper keeps a session for 4 s.
        time.sleep(5 + outage.seconds / 2)
        place.server.send_signal(signal.SIGCONT)
