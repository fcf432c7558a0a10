//! A NameNode and DataNodes of a test: on ports and in a directory of their own, killed with the test's process.

use std::net::TcpStream;
use std::path::PathBuf;
use std::sync::Mutex;

use doyen::config;

use super::guarded::{Frozen, Guarded, free_port};
use super::hadoop::{Hadoop, Property, datanodes, local, wait_for, words};

pub struct Hdfs {
    rpc: u16,
    namenode: Guarded,
    datanodes: Mutex<Vec<Option<Guarded>>>,
    /// Of each DataNode.
    ports: Vec<u16>,
    /// Behind the processes, so that it goes after them.
    hadoop: Hadoop,
}

impl Hdfs {
    /// Formatted, with a DataNode that has registered.
    pub fn start() -> Self {
        Self::of(1, 1)
    }

    pub fn of(datanodes: usize, replication: usize) -> Self {
        for _ in 0..3 {
            // Another process may take a port before the NameNode does.
            if let Some(hdfs) = Self::try_start(datanodes, replication) {
                return hdfs;
            }
        }
        panic!("the ports of the NameNode were taken three times");
    }

    fn try_start(count: usize, replication: usize) -> Option<Self> {
        let (rpc, http) = (free_port(), free_port());
        let site = |_: &std::path::Path| {
            vec![
                ("dfs.replication", replication.to_string()),
                ("dfs.namenode.rpc-address", local(rpc)),
                ("dfs.namenode.http-address", local(http)),
            ]
        };
        let hadoop = Hadoop::new(&local(rpc), site);
        hadoop.format(&[]);
        let ports: Vec<u16> = (0..count).map(|_| free_port()).collect();
        let namenode = hadoop.namenode("namenode", &[]);
        let hdfs = Self { rpc, namenode, datanodes: Mutex::default(), ports, hadoop };
        *hdfs.datanodes.lock().unwrap() = (0..count).map(|n| Some(hdfs.launch(n, &[]))).collect();
        let are_there = || datanodes(http) == Some(count);
        let log = || hdfs.hadoop.out("namenode");
        assert!(wait_for(|| are_there() || log().contains("BindException")), "{}", log());
        are_there().then_some(hdfs)
    }

    fn launch(&self, n: usize, of: &[Property]) -> Guarded {
        self.hadoop.datanode(&name(n), self.ports[n], of)
    }

    /// How a server of a test reaches it, with a directory of its own.
    pub fn settings(&self, path: &str) -> config::Hdfs {
        config::Hdfs { url: Some(self.url()), path: path.into(), ..config::Hdfs::default() }
    }

    /// Where clients are told to look for DataNodes at `hadoop::PROXY_HOST`.
    pub fn conf_of_names(&self) -> PathBuf {
        self.hadoop.names()
    }

    /// `host:port` of the NameNode.
    pub fn address(&self) -> String {
        local(self.rpc)
    }

    /// At which the first DataNode gives and takes blocks.
    pub fn datanode_port(&self) -> u16 {
        self.ports[0]
    }

    pub fn url(&self) -> String {
        format!("hdfs://{}", self.address())
    }

    /// Where core-site.xml is, which names the NameNode too.
    pub fn conf_dir(&self) -> PathBuf {
        self.hadoop.conf()
    }

    /// Where the first DataNode has its blocks.
    pub fn data(&self) -> PathBuf {
        self.data_of(0)
    }

    pub fn data_of(&self, n: usize) -> PathBuf {
        self.hadoop.below(&name(n)).join("data")
    }

    /// Until what is returned is dropped, also by a test that fails: the other tests need it.
    pub fn freeze_namenode(&self) -> Frozen<'_> {
        self.namenode.stop()
    }

    /// The first one, until what is returned is dropped, also by a test that fails.
    pub fn freeze_datanode(&self) -> FrozenDataNode<'_> {
        // It thaws it by itself, as the lock is not held until then.
        std::mem::forget(self.datanodes.lock().unwrap()[0].as_ref().expect("runs").stop());
        FrozenDataNode(self)
    }

    pub fn kill_datanode(&self) {
        self.kill(0);
    }

    /// It registers some seconds later.
    pub fn start_datanode(&self) {
        self.start_with(&[]);
    }

    /// The first one, with settings of its own.
    pub fn start_with(&self, of: &[Property]) {
        let started = self.launch(0, of);
        self.datanodes.lock().unwrap()[0] = Some(started);
    }

    /// Returns when it takes connections.
    pub fn restart(&self, n: usize) {
        let started = self.launch(n, &[]);
        self.datanodes.lock().unwrap()[n] = Some(started);
        assert!(wait_for(|| TcpStream::connect(local(self.ports[n])).is_ok()), "{}", self.hadoop.out(&name(n)));
    }

    pub fn kill(&self, n: usize) {
        drop(self.datanodes.lock().unwrap()[n].take());
    }

    /// `hdfs dfsadmin`.
    pub fn admin(&self, arguments: &[&str]) {
        self.hadoop.run("org.apache.hadoop.hdfs.tools.DFSAdmin", &words(arguments));
    }
}

pub struct FrozenDataNode<'a>(&'a Hdfs);

impl Drop for FrozenDataNode<'_> {
    fn drop(&mut self) {
        if let Some(datanode) = &self.0.datanodes.lock().unwrap()[0] {
            datanode.thaw();
        }
    }
}

fn name(n: usize) -> String {
    format!("datanode{n}")
}
