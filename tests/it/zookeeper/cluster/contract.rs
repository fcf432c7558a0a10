//! The simulator's model of the store and the real one answer any sequence of requests alike, whatever hands do to the record in between.
//! So what is simulated is what runs.

use std::collections::{BTreeMap, BTreeSet};

use doyen::adapters::zookeeper::{Options, ZooKeeperCluster};
use doyen::core::cluster::ids::{Age, Epoch, NodeId, Term, Version};
use doyen::core::cluster::record::{Fence, Record};
use doyen::core::cluster::store::{StoreAnswer, StoreOp, Stored};
use doyen::ports::ClusterStore;
use doyen_simulator::faults::Damage;
use doyen_simulator::random::Random;
use doyen_simulator::store::{SessionNo, Store};
use zookeeper_client::Client;

use super::super::{bare, node};
use super::{CONFIRMED, PATIENCE, by, empty, joined, newcomer, owned, registered};

const NAMES: [&str; 2] = ["A", "B"];
const RUNS: u64 = 10;
const STEPS: u64 = 60;

/// One node on both sides.
struct Node {
    id: NodeId,
    real: ZooKeeperCluster,
    session: SessionNo,
    /// What it read last; it may be old.
    known: Option<Stored>,
}

struct Both {
    options: Options,
    model: Store,
    hand: Client,
    nodes: Vec<Node>,
    random: Random,
    now: u64,
    /// How often which answer came.
    answers: BTreeMap<String, u32>,
}

impl Both {
    async fn new(seed: u64) -> Self {
        let options = empty().await;
        let hand = bare(&options).await;
        let (model, random) = (Store::default(), Random::new(seed));
        let mut both = Self { options, model, hand, nodes: Vec::new(), random, now: 0, answers: BTreeMap::new() };
        for name in NAMES {
            let node = both.begin(NodeId::new(name, 1));
            both.nodes.push(node);
        }
        both.agree_on_registrations().await;
        both
    }

    fn begin(&mut self, id: NodeId) -> Node {
        let real = ZooKeeperCluster::open(self.options.clone(), id.clone(), PATIENCE);
        let session = self.model.open(self.now, id.clone(), 0);
        Node { id, real, session, known: None }
    }

    /// They come and go in their own time.
    async fn agree_on_registrations(&self) {
        let expected: Vec<NodeId> = self.model.state().registered.iter().cloned().collect();
        for node in &self.nodes {
            registered(&node.real, &expected).await;
        }
    }

    async fn ask(&mut self, node: usize, op: &StoreOp) {
        let expected = self.model.execute(self.now, self.nodes[node].session, op, 0).unwrap().0;
        let answer = self.nodes[node].real.execute(op).await;
        assert_eq!(answer, expected, "to {op:?}");
        let kind = match &answer {
            StoreAnswer::Read(reading) => {
                self.nodes[node].known = reading.record.clone().ok().flatten();
                format!("read {}", if reading.record.is_ok() { "well" } else { "damaged" })
            }
            other => format!("{} {other:?}", name(op)).replace(char::is_numeric, ""),
        };
        *self.answers.entry(kind).or_default() += 1;
    }

    /// What a node might ask that knows what it knows, or something like it.
    fn op(&mut self, node: usize, step: u64) -> StoreOp {
        let name = NAMES[node];
        let known = self.nodes[node].known.clone();
        let (kind, Some(known)) = (self.random.below(10), known) else {
            return StoreOp::Create { record: Record::first("cluster".into(), &newcomer(name), by(name)) };
        };
        let mut base = known.version;
        let mut fence = known.record.fence();
        match self.random.below(8) {
            0 => base = Version(base.0 ^ 1),
            1 => fence = Fence { epoch: Epoch(fence.epoch.0 + 1), ..fence },
            2 => fence.key.term = Term(fence.key.term.0 + 1),
            _ => {}
        }
        let other = known.record.members.last().map_or(name, |member| member.id.name.as_str()).to_owned();
        match kind {
            0 => StoreOp::Create { record: known.record },
            1 | 2 => StoreOp::Touch { base, fence },
            3 | 4 => StoreOp::Read { confirm: kind == 3 },
            5 | 6 if !known.record.members.is_empty() => {
                StoreOp::Swap { base, fence, record: owned(&known.record, &other) }
            }
            7 if known.record.members.len() > 3 => {
                let gone = known.record.members[0].id.clone();
                let owner = known.record.members[1].id.clone();
                StoreOp::Swap { base, fence, record: known.record.without(&BTreeSet::from([gone]), &owner, by(name)) }
            }
            _ => StoreOp::Swap { base, fence, record: joined(&known.record, &format!("N{step}")) },
        }
    }

    /// Somebody does it with ZooKeeper's shell: what the model has then, the real one is made to have.
    async fn by_hand(&mut self) {
        let before = self.model.state().version();
        match self.random.below(9) {
            0 => self.model.damage(self.now, Damage::Delete),
            1 => self.model.damage(self.now, Damage::DeleteAll),
            2 => self.model.damage(self.now, Damage::RollBack(1)),
            3 => self.model.damage(self.now, Damage::Bytes),
            4 => self.model.damage(self.now, Damage::FenceDeleted),
            5 => self.model.damage(self.now, Damage::NewerFormat),
            _ => self.model.restore(self.now, (Epoch(self.now), Term(self.now)), Age(self.now)).is_some(),
        };
        let record = format!("{}/cluster", self.options.chroot);
        match (before, self.model.state().bytes(), self.model.state().version()) {
            (Some(_), None, _) => self.hand.delete(&record, None).await.unwrap(),
            (None, Some(bytes), _) => drop(self.hand.create(&record, bytes, &node()).await.unwrap()),
            (Some(before), Some(bytes), Some(now)) if now != before => {
                self.hand.set_data(&record, bytes, None).await.unwrap();
            }
            _ => {}
        }
        self.fences_by_hand().await;
    }

    async fn fences_by_hand(&self) {
        let parent = format!("{}/fence", self.options.chroot);
        let expected: BTreeSet<String> = self
            .model
            .state()
            .fences
            .iter()
            .map(|fence| format!("{}#{}", fence.key.term, fence.key.cluster_id))
            .collect();
        let there: BTreeSet<String> = self.hand.list_children(&parent).await.unwrap_or_default().into_iter().collect();
        for name in there.difference(&expected) {
            for epoch in self.hand.list_children(&format!("{parent}/{name}")).await.unwrap() {
                self.hand.delete(&format!("{parent}/{name}/{epoch}"), None).await.unwrap();
            }
            self.hand.delete(&format!("{parent}/{name}"), None).await.unwrap();
        }
        for fence in &self.model.state().fences {
            let name = format!("{}#{}", fence.key.term, fence.key.cluster_id);
            if !there.contains(&name) {
                self.hand.mkdir(&format!("{parent}/{name}/{}", fence.epoch), &node()).await.unwrap();
            }
        }
    }

    /// A process ends, and its supervisor starts the node again.
    async fn restart(&mut self, at: usize) {
        let NodeId { name, incarnation } = self.nodes[at].id.clone();
        self.model.end(self.now, self.nodes[at].session);
        let node = self.begin(NodeId::new(name.as_str(), incarnation.0 + 1));
        self.nodes[at] = node;
        self.agree_on_registrations().await;
    }
}

fn name(op: &StoreOp) -> &'static str {
    match op {
        StoreOp::Read { .. } => "read",
        StoreOp::Create { .. } => "create",
        StoreOp::Swap { .. } => "swap",
        StoreOp::Touch { .. } => "touch",
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_simulators_store_and_the_real_one_answer_alike() {
    let mut answers = BTreeMap::new();
    for seed in 0..RUNS {
        let mut both = Both::new(seed).await;
        for step in 1..=STEPS {
            both.now = step * 1000;
            let node = usize::try_from(both.random.below(2)).unwrap();
            match both.random.below(20) {
                0 | 1 if step > 10 => both.by_hand().await,
                2 if step > 10 => both.restart(node).await,
                3..=7 => both.ask(node, &CONFIRMED).await,
                _ => {
                    let op = both.op(node, step);
                    both.ask(node, &op).await;
                }
            }
        }
        for node in 0..NAMES.len() {
            both.ask(node, &CONFIRMED).await;
        }
        for (kind, count) in both.answers {
            *answers.entry(kind).or_insert(0) += count;
        }
    }
    // It would be easy to agree on few things.
    for kind in
        ["create Done", "create Refused(Conflict)", "create Refused(Fence)", "swap Done", "swap Refused(Conflict)"]
            .into_iter()
            .chain(["swap Refused(Fence)", "touch Done", "touch Refused(Conflict)", "touch Refused(Fence)"])
            .chain(["read well", "read damaged"])
    {
        assert!(answers.keys().any(|answer| answer.starts_with(kind)), "no {kind}: {answers:?}");
    }
}
