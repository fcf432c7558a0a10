//! Contexts, their names, and who is attached to them.

use super::{Judged, Kind, Repair, Seen};
use crate::core::contexts::{Attachment, ContextRecord, NameRecord};
use crate::core::keys;

const IN_VAIN: &str = "it is read in vain";

pub(super) fn context(it: &mut Judged<'_>) {
    let Some(context) = it.record::<ContextRecord>() else { return };
    if !it.stands_at(&keys::context(&context.id)) {
        return;
    }
    let live = !context.state.has_ended();
    if live {
        it.missing(
            &keys::context_live(&context.id),
            "no server takes it up: its driver is left alone, its name is taken",
        );
    }
    let key = keys::context_name(&context.name);
    let own = serde_json::to_vec(&NameRecord { context_id: context.id.clone(), live }).expect("plain fields");
    match it.around.read::<NameRecord>(&key) {
        Seen::Absent if live => {
            let repair = Repair::new("add the entry").seen(it.key, Some(it.version)).seen(&key, None).put(&key, own);
            it.tell_with(Kind::MissingEntry, format!("{key} is missing"), "it is not found by its name", repair);
        }
        Seen::Read(name, version) if name.context_id == context.id && name.live != live => {
            let (wrong, means) = if live {
                (format!("{key} says that it has ended"), "another context can take its name")
            } else {
                (format!("{key} says that it lives"), "no context can be made under its name")
            };
            let repair = Repair::new("correct the entry").seen(it.key, Some(it.version)).seen(&key, Some(version));
            it.tell_with(Kind::DanglingEntry, wrong, means, repair.put(&key, own));
        }
        Seen::Read(name, _) if name.context_id != context.id && live => {
            let wrong = format!("{key} names {} instead", name.context_id);
            it.tell(
                Kind::Misplaced,
                wrong,
                "it lives and is not found by its name; it ends when its server is told to stop all",
            );
        }
        _ => {}
    }
}

/// Whether the context is there and lives, with the version that says so; `None` when that cannot be read.
fn life(it: &Judged<'_>, id: &str) -> Option<(bool, Option<u64>)> {
    match it.around.read::<ContextRecord>(&keys::context(id)) {
        Seen::Absent => Some((false, None)),
        Seen::Read(context, version) => Some((!context.state.has_ended(), Some(version))),
        Seen::Unreadable => None,
    }
}

fn of_live(it: &mut Judged<'_>) {
    let key = keys::context(it.name);
    match life(it, it.name) {
        Some((false, None)) => it.dangling("there is no such context", IN_VAIN, (&key, None)),
        Some((false, version)) => it.dangling("the context has ended", IN_VAIN, (&key, version)),
        _ => {}
    }
}

pub(super) fn live(it: &mut Judged<'_>) {
    of_live(it);
}

pub(super) fn attachment(it: &mut Judged<'_>) {
    if it.record::<Attachment>().is_some() {
        of_live(it);
    }
}

pub(super) fn name(it: &mut Judged<'_>) {
    let Some(name) = it.record::<NameRecord>() else { return };
    let key = keys::context(&name.context_id);
    match it.around.read::<ContextRecord>(&key) {
        Seen::Absent => {
            let means = if name.live { "no context can be made under this name" } else { IN_VAIN };
            it.dangling("there is no such context", means, (&key, None));
        }
        Seen::Read(context, version) if keys::context_name(&context.name) != it.key => {
            let wrong = format!("it leads to a context that is called {}", context.name);
            it.dangling(wrong, "another context is found under this name", (&key, Some(version)));
        }
        _ => {}
    }
}
