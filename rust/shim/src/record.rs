//! What happened, written once: every denial becomes a line of the journal before its answer takes effect, equal ones
//! within a second become one line with a count, and the report at the end is a view of the same facts.

use crate::clock;
use crate::error::ShimError;
use crate::journal::{Disk, Journal};
use crate::meter::Hit;
use serde_json::{Value, json};
use std::collections::hash_map::{Entry, HashMap};
use std::collections::{BTreeMap, BTreeSet};
use std::io::Write as _;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

const FOLD_NS: u64 = 1_000_000_000;
/// How long writes are gathered before they are synced together.
const GROUP: Duration = Duration::from_millis(6);
/// Distinct denials of one second that are written one by one; more are only counted (`supervision.md` §1.5).
const MOST_DISTINCT: usize = 1000;

/// Which process asked; the default is one that nobody knows, as behind a packet.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Process {
    pub tid: u32,
    pub comm: String,
}

/// Why a request was refused (A1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Verdict {
    /// By a rule, or because none allows it.
    Denied,
    /// A limit of a rule that allows it is spent.
    Limited,
}

impl Verdict {
    fn word(self) -> &'static str {
        match self {
            Self::Denied => "deny",
            Self::Limited => "limit",
        }
    }
}

/// One refused request.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Denial {
    /// The event's kind (`supervision.md` §1.6).
    pub kind: &'static str,
    pub verdict: Verdict,
    /// The action's word, as the policy language has it.
    pub action: String,
    /// The path or name that was asked for.
    pub resource: String,
    /// How it was asked for: `open`, `stat` …
    pub operation: String,
    /// Id of the deciding rule, or `S1`.
    pub rule: String,
    pub errno: i32,
    pub process: Process,
}

/// One line of the report: equal requests, whoever made them.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Group {
    pub action: String,
    pub resource: String,
    pub rule: String,
    /// The limit that was spent, where the rule allows it.
    pub spent: Option<String>,
}

/// What a run's report is made of.
pub struct Totals {
    /// Denials and their counts, the most frequent first.
    pub groups: Vec<(Group, u64)>,
    /// Limits that were reached, by the resource's key.
    pub limits: BTreeMap<&'static str, Reached>,
}

/// A limit that was reached, over a whole run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reached {
    pub count: u64,
    pub limit: u64,
}

struct Fold {
    since_ns: u64,
    more: u64,
}

struct State {
    journal: Journal,
    folds: HashMap<Denial, Fold>,
    second_ns: u64,
    beyond: u64,
    groups: BTreeMap<Group, u64>,
    /// Optional names that were looked for and are absent.
    quiet: BTreeSet<String>,
    limits: BTreeMap<&'static str, Reached>,
    failed: Option<String>,
    unsynced: Unsynced,
}

/// What has been written since the last sync.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Unsynced {
    Nothing,
    /// Events of the run's life alone: the kernel puts them on disk when it likes, once the run is over.
    Life,
    /// A denial, which a power cut may not take away for longer than `GROUP`.
    Denial,
}

/// The one writer of a run's events, shared by the brokers.
pub struct Recorder {
    state: Mutex<State>,
    written: Condvar,
    disk: Disk,
    explain: bool,
}

impl Recorder {
    /// Takes a journal over.
    ///
    /// # Errors
    /// L012 when there is no descriptor left to sync it by.
    pub fn new(journal: Journal, explain: bool) -> Result<Self, ShimError> {
        let disk = journal.disk()?;
        let state = State {
            journal,
            folds: HashMap::new(),
            second_ns: 0,
            beyond: 0,
            groups: BTreeMap::new(),
            quiet: BTreeSet::new(),
            limits: BTreeMap::new(),
            failed: None,
            unsynced: Unsynced::Nothing,
        };
        Ok(Self {
            state: Mutex::new(state),
            written: Condvar::new(),
            disk,
            explain,
        })
    }

    /// Records a life-cycle event. It is written when this returns, so that the death of any process loses nothing;
    /// `keep_on_disk` puts it on disk within `GROUP`, unless the run ends before.
    ///
    /// # Errors
    /// L012 when the journal can't be written.
    pub fn life(&self, kind: &str, fields: &Value) -> Result<(), ShimError> {
        let mut state = self.lock();
        append(&mut state.journal, kind, 'L', fields)?;
        state.unsynced = state.unsynced.max(Unsynced::Life);
        self.written.notify_one();
        state.journal.close_frame()
    }

    /// Records that a limit was reached.
    pub fn limit(&self, hit: &Hit) {
        let Hit {
            key,
            used,
            limit,
            count,
        } = *hit;
        let of_run = Reached { count: 0, limit };
        self.lock().limits.entry(key).or_insert(of_run).count += count;
        let fields = json!({"d": "limit", "resource": key, "used": used, "limit": limit, "count": count});
        // What can't be written ends the run at the next tick.
        if let Err(error) = self.life("limit.hit", &fields) {
            self.lock().failed.get_or_insert(error.to_string());
        }
    }

    /// Records a denial. The frame is written before this returns, so before the refused call does.
    pub fn denied(&self, denial: Denial) {
        let mut guard = self.lock();
        let state = &mut *guard;
        let group = Group {
            action: denial.action.clone(),
            resource: denial.resource.clone(),
            rule: denial.rule.clone(),
            spent: (denial.verdict == Verdict::Limited).then(|| denial.operation.clone()),
        };
        *state.groups.entry(group).or_insert(0) += 1;
        let now = clock::boot_ns();
        if now.saturating_sub(state.second_ns) >= FOLD_NS {
            state.second_ns = now;
            flush(state);
        }
        let distinct = state.folds.len();
        match state.folds.entry(denial) {
            Entry::Occupied(mut fold) => fold.get_mut().more += 1,
            Entry::Vacant(_) if distinct >= MOST_DISTINCT => state.beyond += 1,
            Entry::Vacant(place) => {
                let fields = fields(place.key());
                if self.explain {
                    // Standard error may be closed; the journal has the event all the same.
                    let _ = writeln!(std::io::stderr(), "replicante: denied {}", describe(place.key()));
                }
                let kind = place.key().kind;
                place.insert(Fold {
                    since_ns: now,
                    more: 0,
                });
                write(state, kind, &fields);
                self.written.notify_one();
            }
        }
    }

    /// Notes an absent name that ordinary programs look for; all of them become one event at the end.
    pub fn quiet(&self, resource: &str) {
        self.lock().quiet.insert(resource.to_owned());
    }

    /// Puts on disk what is written, within `GROUP`; never returns. One thread does this, so that all that is written
    /// meanwhile shares a sync (`supervision.md` §1.4), and a run that is shorter waits for no disk.
    pub fn keep_on_disk(&self) {
        loop {
            let mut state = self.lock();
            while state.unsynced == Unsynced::Nothing {
                state = self.written.wait(state).unwrap_or_else(PoisonError::into_inner);
            }
            drop(state);
            std::thread::sleep(GROUP);
            self.sync();
        }
    }

    fn sync(&self) {
        self.lock().unsynced = Unsynced::Nothing;
        if let Err(error) = self.disk.sync() {
            self.lock().failed.get_or_insert(error.to_string());
        }
    }

    /// Writes counts of folded denials that are due. Called about once a second.
    pub fn tick(&self) {
        let mut state = self.lock();
        if clock::boot_ns().saturating_sub(state.second_ns) >= FOLD_NS {
            flush(&mut state);
        }
    }

    /// Notes why the run can't go on; it ends at the next tick.
    pub fn fail(&self, why: String) {
        self.lock().failed.get_or_insert(why);
    }

    /// Why the run can't go on (the journal can't be written, a name can't be masked), once that has happened.
    pub fn failure(&self) -> Option<String> {
        self.lock().failed.clone()
    }

    /// Writes everything that waits and gives the counts of all denials and limits.
    ///
    /// # Errors
    /// L012 when the journal can't be written.
    pub fn finish(&self, kind: &str, fields: &Value) -> Result<Totals, ShimError> {
        flush(&mut self.lock());
        let denials = self.lock().unsynced == Unsynced::Denial;
        let quiet = std::mem::take(&mut self.lock().quiet);
        if !quiet.is_empty() {
            let names: Vec<String> = quiet.into_iter().collect();
            let fields = json!({
                "d": "deny", "r": "S1", "action": "read", "resource": names.join(", "), "count": names.len(),
            });
            self.life("file.absent", &fields)?;
        }
        self.life(kind, fields)?;
        if denials {
            self.sync();
        }
        let state = self.lock();
        let mut groups: Vec<_> = state.groups.clone().into_iter().collect();
        groups.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
        Ok(Totals {
            groups,
            limits: state.limits.clone(),
        })
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // A thread that panicked has ended the process (`panic = "abort"`), so the lock is never poisoned in a release.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn write(state: &mut State, kind: &str, fields: &Value) {
    let result = append(&mut state.journal, kind, 'S', fields).and_then(|()| state.journal.close_frame());
    state.unsynced = Unsynced::Denial;
    if let Err(error) = result {
        state.failed.get_or_insert(error.to_string());
    }
}

/// Writes what was folded, and forgets it.
fn flush(state: &mut State) {
    let folds = std::mem::take(&mut state.folds);
    let mut due: Vec<_> = folds.into_iter().filter(|(_, fold)| fold.more > 0).collect();
    due.sort_by_key(|(_, fold)| fold.since_ns);
    for (denial, fold) in due {
        let mut fields = fields(&denial);
        fields["count"] = json!(fold.more);
        fields["since"] = json!(fold.since_ns);
        write(state, denial.kind, &fields);
    }
    let beyond = std::mem::take(&mut state.beyond);
    if beyond > 0 {
        write(
            state,
            "journal.coalesced",
            &json!({"count": beyond, "why": "over 1000 distinct denials in a second"}),
        );
    }
}

fn append(journal: &mut Journal, kind: &str, class: char, fields: &Value) -> Result<(), ShimError> {
    let mut event = json!({
        "k": kind, "v": 1, "s": journal.next_seq(), "t": clock::wall_ns(), "m": clock::boot_ns(), "c": class.to_string(), "g": 1,
    });
    if let (Some(event), Some(fields)) = (event.as_object_mut(), fields.as_object()) {
        event.extend(fields.iter().map(|(key, value)| (key.clone(), value.clone())));
    }
    journal.append(event.to_string().into_bytes())
}

fn fields(denial: &Denial) -> Value {
    let mut fields = json!({
        "d": denial.verdict.word(), "r": denial.rule, "action": denial.action, "resource": denial.resource,
        "operation": denial.operation, "errno": denial.errno,
    });
    if denial.process != Process::default() {
        fields["p"] = json!({"tid": denial.process.tid, "comm": denial.process.comm});
    }
    fields
}

fn describe(denial: &Denial) -> String {
    let Denial {
        action,
        resource,
        operation,
        rule,
        process,
        ..
    } = denial;
    let who = if *process == Process::default() {
        printable(operation)
    } else {
        format!("by {} ({})", printable(&process.comm), process.tid)
    };
    format!("{action} {} {who}: rule {rule}", printable(resource))
}

/// Text from the agent, fit for a terminal: control characters are spelled out.
pub fn printable(text: &str) -> String {
    text.chars()
        .flat_map(|c| {
            if c.is_control()
                || ('\u{202a}'..='\u{202e}').contains(&c)
                || ('\u{2066}'..='\u{2069}').contains(&c)
            {
                c.escape_unicode().collect::<Vec<_>>()
            } else {
                vec![c]
            }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escapes_do_not_reach_a_terminal() {
        assert_eq!(printable("a\u{1b}[2Jb\u{202e}"), "a\\u{1b}[2Jb\\u{202e}");
    }
}
