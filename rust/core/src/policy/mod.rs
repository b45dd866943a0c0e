//! The compiled form (`docs/reference/compiled-form.md`): read as a `Form`, bound to the values of a run, checked whole.
//!
//! What `Form::bind` gives is total: no index, pattern or number in it can fail during a decision.

mod bind;
mod check;
mod condition;
mod expectation;
mod form;

pub use bind::{BindError, Values, contains_home, value_problem};
pub use condition::{Compare, Condition, ConditionForm, Each, JsonType, Scalar, Test, Truth};
pub use expectation::Expectation;
pub use form::{Form, identity};

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// The version that this engine reads.
pub const FORMAT: u32 = 2;

/// A policy bound to the values of one run, ready to decide.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Compiled {
    pub format: u32,
    pub name: String,
    /// D2: of what is written and of the values that it is bound to, 64 hex digits.
    #[serde(skip)]
    pub identity: String,
    pub trust_digest: String,
    /// The ancestry, ancestors first.
    pub policies: Vec<PolicyInfo>,
    pub sources: Vec<Source>,
    pub buckets: Vec<Bucket>,
    pub rules: Vec<Rule>,
    pub blocks: Blocks,
    pub resources: Resources,
    pub stated: Vec<String>,
    pub home: Home,
    pub workspace: Workspace,
    pub accept: Vec<String>,
    pub environment: Environment,
    pub capabilities: Vec<String>,
    pub alerts: Vec<Alert>,
    pub tripwires: Vec<Tripwire>,
    pub pins: Vec<Pin>,
    /// The expectations of its own tests.
    pub tests: Vec<Expectation>,
    /// The variables that the ancestry mentions, sorted.
    pub variables: Vec<String>,
    /// Their values.
    #[serde(skip)]
    pub bindings: BTreeMap<String, String>,
    pub host_sets: BTreeMap<String, Vec<String>>,
    pub public_suffix_date: String,
}

/// One policy of the ancestry.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct PolicyInfo {
    pub name: String,
    /// Whether it comes with the package.
    pub shipped: bool,
    /// Indices of all its ancestors.
    pub ancestors: Vec<usize>,
}

/// A rule as written: its id and place.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Source {
    pub id: String,
    pub policy: usize,
    pub file: String,
    pub line: u32,
    pub column: u32,
    pub because: Option<String>,
    pub text: String,
}

/// A limit that one or more entries share (S9, F8, N14, M4).
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(try_from = "BucketForm", into = "BucketForm")]
pub enum Bucket {
    Rate { count: u64, unit_ns: u64, burst: u64 },
    Connections { count: u64 },
    Upload { count: u64, unit_ns: u64, burst: u64 },
    Download { count: u64, unit_ns: u64, burst: u64 },
    MaxFile { bytes: u64 },
    MaxTotal { bytes: u64 },
    MaxFiles { count: u64 },
    MaxMessage { bytes: u64 },
}

/// A bucket as it is written. No tagged enum: serde buffers those, and a buffered number of arbitrary precision is a map.
#[derive(Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct BucketForm {
    kind: String,
    count: Option<u64>,
    unit_ns: Option<u64>,
    burst: Option<u64>,
    bytes: Option<u64>,
}

impl From<Bucket> for BucketForm {
    fn from(bucket: Bucket) -> Self {
        let form = |kind: &str| Self {
            kind: kind.to_owned(),
            count: None,
            unit_ns: None,
            burst: None,
            bytes: None,
        };
        let rate = |kind: &str, count, unit_ns, burst| Self {
            count: Some(count),
            unit_ns: Some(unit_ns),
            burst: Some(burst),
            ..form(kind)
        };
        let sized = |kind: &str, bytes| Self {
            bytes: Some(bytes),
            ..form(kind)
        };
        let counted = |kind: &str, count| Self {
            count: Some(count),
            ..form(kind)
        };
        match bucket {
            Bucket::Rate {
                count,
                unit_ns,
                burst,
            } => rate("rate", count, unit_ns, burst),
            Bucket::Upload {
                count,
                unit_ns,
                burst,
            } => rate("upload", count, unit_ns, burst),
            Bucket::Download {
                count,
                unit_ns,
                burst,
            } => rate("download", count, unit_ns, burst),
            Bucket::Connections { count } => counted("connections", count),
            Bucket::MaxFiles { count } => counted("max-files", count),
            Bucket::MaxFile { bytes } => sized("max-file", bytes),
            Bucket::MaxTotal { bytes } => sized("max-total", bytes),
            Bucket::MaxMessage { bytes } => sized("max-message", bytes),
        }
    }
}

impl TryFrom<BucketForm> for Bucket {
    type Error = String;

    fn try_from(form: BucketForm) -> Result<Self, String> {
        if [form.count, form.unit_ns, form.burst, form.bytes].contains(&Some(0)) {
            return Err("a limit of zero".into());
        }
        match (
            form.kind.as_str(),
            form.count,
            form.unit_ns,
            form.burst,
            form.bytes,
        ) {
            ("rate", Some(count), Some(unit_ns), Some(burst), None) => Ok(Self::Rate {
                count,
                unit_ns,
                burst,
            }),
            ("upload", Some(count), Some(unit_ns), Some(burst), None) => Ok(Self::Upload {
                count,
                unit_ns,
                burst,
            }),
            ("download", Some(count), Some(unit_ns), Some(burst), None) => Ok(Self::Download {
                count,
                unit_ns,
                burst,
            }),
            ("connections", Some(count), None, None, None) => Ok(Self::Connections { count }),
            ("max-files", Some(count), None, None, None) => Ok(Self::MaxFiles { count }),
            ("max-file", None, None, None, Some(bytes)) => Ok(Self::MaxFile { bytes }),
            ("max-total", None, None, None, Some(bytes)) => Ok(Self::MaxTotal { bytes }),
            ("max-message", None, None, None, Some(bytes)) => Ok(Self::MaxMessage { bytes }),
            (kind, ..) => Err(format!("`{kind}` is no kind of limit, or has not its keys")),
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Effect {
    Allow,
    OverrideAllow,
    Hold,
    Deny,
    Never,
    Tripwire,
}

impl Effect {
    /// Whether it grants.
    pub fn allows(self) -> bool {
        matches!(self, Self::Allow | Self::OverrideAllow)
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Action {
    Read,
    Write,
    Create,
    Delete,
    Execute,
    Connect,
    ConnectUnix,
    Resolve,
    Listen,
    Call,
    Resource,
    Prompt,
    Sampling,
    Elicitation,
    Roots,
    Syscall,
}

impl Action {
    /// The five file actions, in the order of the language.
    pub const FILES: [Self; 5] = [Self::Read, Self::Write, Self::Create, Self::Delete, Self::Execute];

    /// The action of a word after `expect`.
    pub fn from_word(word: &str) -> Option<Self> {
        Some(match word {
            "read" => Self::Read,
            "write" => Self::Write,
            "create" => Self::Create,
            "delete" => Self::Delete,
            "execute" => Self::Execute,
            "connect" => Self::Connect,
            "connect unix" | "connect-unix" => Self::ConnectUnix,
            "resolve" => Self::Resolve,
            "listen" => Self::Listen,
            "call" => Self::Call,
            "resource" => Self::Resource,
            "prompt" => Self::Prompt,
            "sampling" => Self::Sampling,
            "elicitation" => Self::Elicitation,
            "roots" => Self::Roots,
            "syscall" => Self::Syscall,
            _ => return None,
        })
    }

    pub fn word(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Write => "write",
            Self::Create => "create",
            Self::Delete => "delete",
            Self::Execute => "execute",
            Self::Connect => "connect",
            Self::ConnectUnix => "connect unix",
            Self::Resolve => "resolve",
            Self::Listen => "listen",
            Self::Call => "call",
            Self::Resource => "resource",
            Self::Prompt => "prompt",
            Self::Sampling => "sampling",
            Self::Elicitation => "elicitation",
            Self::Roots => "roots",
            Self::Syscall => "syscall",
        }
    }

    pub fn is_file(self) -> bool {
        Self::FILES.contains(&self)
    }

    pub fn is_mcp(self) -> bool {
        matches!(
            self,
            Self::Call | Self::Resource | Self::Prompt | Self::Sampling | Self::Elicitation | Self::Roots
        )
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum HostKind {
    Any,
    Name,
    Net,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Protocol {
    Tcp,
    Udp,
    Http,
}

/// Address classes that a rule may open with `to` (N7).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum OpenClass {
    Private,
    Loopback,
}

/// One effect on one action and one pattern. Flat, as the form is: which keys an action has is checked at reading.
#[allow(clippy::struct_excessive_bools)]
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Rule {
    pub source: usize,
    pub effect: Effect,
    pub action: Action,
    #[serde(default)]
    pub pattern: Option<String>,
    #[serde(default)]
    pub downward: bool,
    #[serde(default)]
    pub hidden: bool,
    #[serde(default)]
    pub existing: bool,
    #[serde(default)]
    pub inert: bool,
    #[serde(default)]
    pub kind: Option<HostKind>,
    #[serde(default)]
    pub ports: Option<Vec<(u16, u16)>>,
    #[serde(default)]
    pub protocol: Option<Protocol>,
    #[serde(default)]
    pub classes: Vec<OpenClass>,
    #[serde(default)]
    pub methods: Vec<String>,
    #[serde(default)]
    pub url_paths: Vec<String>,
    #[serde(default)]
    pub inspect: bool,
    #[serde(default)]
    pub publish: bool,
    #[serde(default)]
    pub condition: Option<ConditionForm>,
    #[serde(default)]
    pub expose: Vec<String>,
    #[serde(default)]
    pub names: Vec<String>,
    #[serde(default)]
    pub errno: Option<String>,
    #[serde(default)]
    pub kill: bool,
    #[serde(default)]
    pub limits: Vec<usize>,
}

/// Limits of whole blocks, as indices of buckets.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Blocks {
    pub filesystem: Vec<usize>,
    pub network: Vec<usize>,
    pub mcp: Vec<usize>,
}

/// Effective amounts (L1): bytes, nanoseconds, thousandths of a core.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Resources {
    pub memory: u64,
    pub swap: u64,
    pub disk: u64,
    pub tmp: u64,
    pub output: u64,
    pub cpu: u64,
    pub processes: u64,
    pub threads: u64,
    pub open_files: u64,
    pub cpu_time: u64,
    pub wall_time: u64,
    pub idle_time: u64,
    pub io_read: Option<ByteRate>,
    pub io_write: Option<ByteRate>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct ByteRate {
    pub count: u64,
    pub unit_ns: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Home {
    Real,
    Private,
    Fresh,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Workspace {
    Direct,
    Overlay,
}

/// C3 and C4, after `drop`.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Environment {
    pub keep: Vec<String>,
    pub set: BTreeMap<String, String>,
    pub secrets: Vec<Secret>,
}

#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Secret {
    pub name: String,
    pub source: usize,
    pub from: SecretFrom,
    /// Hosts whose requests get the value; `None` puts the value itself into the environment.
    #[serde(rename = "for")]
    pub hosts: Option<Vec<String>>,
}

#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct SecretFrom {
    pub kind: SecretKind,
    pub value: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum SecretKind {
    Keyring,
    File,
    Env,
}

/// An alert (A1, A2); what carries it out comes later.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Alert {
    pub name: String,
    /// Name of its policy.
    pub policy: String,
    pub severity: String,
    pub measure: Measure,
    pub clear_after_ns: u64,
    pub reactions: Vec<String>,
}

/// What an alert counts: events, bytes or a share of a limit.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Measure {
    pub kind: String,
    pub event: String,
    pub pattern: Option<String>,
    pub threshold: Option<u64>,
    pub window_ns: Option<u64>,
}

/// A tripwire (A3); its matching is in the rules of the same source.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Tripwire {
    pub name: String,
    pub source: usize,
    pub reactions: Vec<String>,
}

/// A pinned tool definition (M5); `digest: None` is `on-first-use`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Pin {
    pub subject: String,
    pub policy: String,
    pub digest: Option<String>,
}

impl Compiled {
    /// The policy (index) of a rule.
    pub fn policy_of(&self, rule: &Rule) -> usize {
        self.sources[rule.source].policy
    }

    /// Whether `ancestor` is an ancestor of `policy`, both indices.
    pub fn is_ancestor(&self, ancestor: usize, policy: usize) -> bool {
        self.policies[policy].ancestors.contains(&ancestor)
    }
}
