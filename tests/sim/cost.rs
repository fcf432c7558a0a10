//! What a calm cluster costs its nodes.

use doyen_simulator::plan::Plan;
use doyen_simulator::run::run;
use doyen_simulator::world::Watching;

const SECONDS: u64 = 5;

/// Messages and bytes that a node sends in a second, once the cluster has formed.
fn per_node_and_second(nodes: usize) -> (u64, u64) {
    let mut plan = Plan::calm(1, nodes);
    for (no, host) in plan.hosts.iter_mut().enumerate() {
        host.start_ms = Some(no as u64 * 50);
    }
    let counted = |end_ms| {
        let report = run(&Plan { end_ms, ..plan.clone() }, Watching { sizes: true, ..Watching::NOTHING });
        assert_eq!(report.violations, []);
        assert_eq!(report.record.map_or(0, |record| record.members.len()), nodes);
        (report.measures.messages.iter().sum::<u64>(), report.measures.bytes.iter().sum::<u64>())
    };
    let formed_ms = 8000;
    let (before, after) = (counted(formed_ms), counted(formed_ms + SECONDS * 1000));
    let share = SECONDS * nodes as u64;
    ((after.0 - before.0) / share, (after.1 - before.1) / share)
}

#[test]
fn messages_and_bytes_of_a_node_grow_at_most_with_the_number_of_nodes() {
    let measured = [3, 9, 50].map(|nodes| (nodes as u64, per_node_and_second(nodes)));
    for (nodes, (messages, bytes)) in measured {
        eprintln!("{nodes} nodes: {messages} messages, {bytes} bytes of JSON a second and node");
    }
    let [(few, least), ..] = measured;
    for (nodes, (messages, bytes)) in measured {
        // By peers; a tenth more for longer numbers and names.
        let share = |of: u64| of * (nodes - 1) / (few - 1) * 11 / 10;
        assert!(messages <= share(least.0) && bytes <= share(least.1), "{nodes} nodes: {messages}, {bytes}");
    }
}
