//! Two NameNodes that share their edits in a directory, and a DataNode: one of the two is active, as somebody has told it.

use std::path::Path;

use doyen::config;

use super::guarded::{Guarded, free_port};
use super::hadoop::{Hadoop, Property, datanodes, local, wait_for, words};

/// What the two are called together in the configuration.
pub const SERVICE: &str = "pair";
const IDS: [&str; 2] = ["nn0", "nn1"];

pub struct Pair {
    ports: [[u16; 2]; 2],
    namenodes: [Option<Guarded>; 2],
    _datanode: Guarded,
    /// Behind the processes, so that it goes after them.
    hadoop: Hadoop,
}

impl Pair {
    /// The first one is active.
    pub fn start() -> Self {
        let ports = [[free_port(), free_port()], [free_port(), free_port()]];
        let hadoop = Hadoop::new(SERVICE, |directory| site(directory, ports));
        hadoop.format(&own(0));
        copy(&hadoop.below(IDS[0]), &hadoop.below(IDS[1]));
        let datanode = hadoop.datanode("datanode", free_port(), &[]);
        let mut pair = Self { ports, namenodes: [None, None], _datanode: datanode, hadoop };
        pair.launch(0);
        pair.launch(1);
        pair.wait(0);
        pair.wait(1);
        pair.activate(0);
        pair
    }

    fn launch(&mut self, n: usize) {
        self.namenodes[n] = Some(self.hadoop.namenode(&format!("namenode{n}"), &own(n)));
    }

    fn wait(&self, n: usize) {
        let is_there = wait_for(|| datanodes(self.ports[n][1]) == Some(1));
        assert!(is_there, "{}", self.hadoop.out(&format!("namenode{n}")));
    }

    /// As the one that is not active.
    pub fn start_namenode(&mut self, n: usize) {
        self.launch(n);
        self.wait(n);
    }

    /// Whatever the other one is.
    pub fn activate(&self, n: usize) {
        let arguments = ["-transitionToActive", "--forceactive", IDS[n]];
        self.hadoop.run("org.apache.hadoop.hdfs.tools.DFSHAAdmin", &words(&arguments));
    }

    pub fn kill(&mut self, n: usize) {
        self.namenodes[n] = None;
    }

    pub fn namenode(&self, n: usize) -> &Guarded {
        self.namenodes[n].as_ref().expect("runs")
    }

    /// Both are listed.
    pub fn listed(&self) -> config::Hdfs {
        let [first, second] = self.ports.map(|[rpc, _]| local(rpc));
        self.settings(format!("hdfs://{first},{second}"))
    }

    /// Hadoop's configuration tells them.
    pub fn named(&self) -> config::Hdfs {
        config::Hdfs { conf_dir: Some(self.hadoop.conf()), ..self.settings(format!("hdfs://{SERVICE}")) }
    }

    fn settings(&self, url: String) -> config::Hdfs {
        config::Hdfs { url: Some(url), path: "/doyen".into(), ..config::Hdfs::default() }
    }
}

/// Both are on one host, so neither sees by its address which one it is.
fn own(n: usize) -> [Property<'static>; 1] {
    [("dfs.ha.namenode.id", IDS[n].to_owned())]
}

fn site(directory: &Path, ports: [[u16; 2]; 2]) -> Vec<Property<'static>> {
    let mut site = vec![
        ("dfs.replication", "1".to_owned()),
        ("dfs.nameservices", SERVICE.into()),
        ("dfs.ha.namenodes.pair", IDS.join(",")),
        ("dfs.namenode.shared.edits.dir", format!("file://{}", directory.join("edits").display())),
        ("dfs.client.failover.proxy.provider.pair", PROVIDER.into()),
        ("dfs.ha.fencing.methods", "shell(/bin/true)".into()),
        ("dfs.ha.tail-edits.period", "1".into()),
    ];
    let keys = [
        ["dfs.namenode.rpc-address.pair.nn0", "dfs.namenode.http-address.pair.nn0", "dfs.namenode.name.dir.pair.nn0"],
        ["dfs.namenode.rpc-address.pair.nn1", "dfs.namenode.http-address.pair.nn1", "dfs.namenode.name.dir.pair.nn1"],
    ];
    for (n, [rpc, http, name]) in keys.into_iter().enumerate() {
        let [rpc_port, http_port] = ports[n];
        let place = directory.join(IDS[n]).display().to_string();
        site.extend([(rpc, local(rpc_port)), (http, local(http_port)), (name, place)]);
    }
    site
}

const PROVIDER: &str = "org.apache.hadoop.hdfs.server.namenode.ha.ConfiguredFailoverProxyProvider";

/// What the first has formatted is the second's as well.
fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let (source, target) = (entry.as_ref().unwrap().path(), to.join(entry.unwrap().file_name()));
        if source.is_dir() {
            copy(&source, &target);
        } else {
            std::fs::copy(&source, &target).unwrap();
        }
    }
}
