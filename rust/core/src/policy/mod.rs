//! The compiled form: read, checked whole, and frozen (`docs/reference/compiled-form.md`).
//!
//! What `Compiled::parse` accepts is total: no index, pattern or number in it can fail during a decision.

mod check;
mod condition;

pub use condition::{Compare, Condition, Each, JsonType, Scalar, Test, Truth};

use crate::error::CoreError;
use crate::json::Json;
use serde::Deserialize;
use std::collections::BTreeMap;

/// The version that this engine reads.
pub const FORMAT: u32 = 1;

/// A policy, ready to decide.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Compiled {
    pub format: u32,
    pub name: String,
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
    pub alerts: Vec<serde_json::Value>,
    pub tripwires: Vec<serde_json::Value>,
    pub pins: Vec<serde_json::Value>,
    pub bindings: BTreeMap<String, String>,
    pub host_sets: BTreeMap<String, Vec<String>>,
    pub public_suffix_date: String,
}

/// One policy of the ancestry.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PolicyInfo {
    pub name: String,
    /// Whether it comes with the package.
    pub shipped: bool,
    /// Indices of all its ancestors.
    pub ancestors: Vec<usize>,
}

/// A rule as written: its id and place.
#[derive(Clone, Debug, Deserialize)]
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
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "BucketForm")]
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
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct BucketForm {
    kind: String,
    count: Option<u64>,
    unit_ns: Option<u64>,
    burst: Option<u64>,
    bytes: Option<u64>,
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

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
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

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Deserialize)]
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

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum HostKind {
    Any,
    Name,
    Net,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Protocol {
    Tcp,
    Udp,
    Http,
}

/// Address classes that a rule may open with `to` (N7).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum OpenClass {
    Private,
    Loopback,
}

/// One effect on one action and one pattern. Flat, as the form is: which keys an action has is checked at reading.
#[allow(clippy::struct_excessive_bools)]
#[derive(Clone, Debug, Deserialize)]
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
    pub condition: Option<Condition>,
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
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Blocks {
    pub filesystem: Vec<usize>,
    pub network: Vec<usize>,
    pub mcp: Vec<usize>,
}

/// Effective amounts (L1): bytes, nanoseconds, thousandths of a core.
#[derive(Clone, Debug, Deserialize)]
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

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ByteRate {
    pub count: u64,
    pub unit_ns: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Home {
    Real,
    Private,
    Fresh,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Workspace {
    Direct,
    Overlay,
}

/// C3 and C4, after `drop`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Environment {
    pub keep: Vec<String>,
    pub set: BTreeMap<String, String>,
    pub secrets: Vec<Secret>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Secret {
    pub name: String,
    pub source: usize,
    pub from: SecretFrom,
    /// Hosts whose requests get the value; `None` puts the value itself into the environment.
    #[serde(rename = "for")]
    pub hosts: Option<Vec<String>>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SecretFrom {
    pub kind: SecretKind,
    pub value: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum SecretKind {
    Keyring,
    File,
    Env,
}

impl Compiled {
    /// Reads a compiled form and checks everything in it.
    ///
    /// # Errors
    /// The first thing that is wrong, with its place.
    pub fn parse(bytes: &[u8]) -> Result<Self, CoreError> {
        // The strict reader refuses what serde lets pass: duplicate keys, unpaired surrogates, depth, huge numbers.
        Json::check(bytes)
            .map_err(|error| CoreError::new(format!("byte {}", error.offset), error.what.to_string()))?;
        let compiled: Self = serde_json::from_slice(bytes).map_err(|error| {
            CoreError::new(
                format!("line {} column {}", error.line(), error.column()),
                error.to_string(),
            )
        })?;
        check::check(&compiled)?;
        Ok(compiled)
    }

    /// The policy (index) of a rule.
    pub fn policy_of(&self, rule: &Rule) -> usize {
        self.sources[rule.source].policy
    }

    /// Whether `ancestor` is an ancestor of `policy`, both indices.
    pub fn is_ancestor(&self, ancestor: usize, policy: usize) -> bool {
        self.policies[policy].ancestors.contains(&ancestor)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const WHOLE: &str = r#"{"format":1,"name":"p","identity":"","trust_digest":"",
        "policies":[{"name":"p","shipped":false,"ancestors":[]}],
        "sources":[{"id":"p/a","policy":0,"file":"p.policy","line":1,"column":2,"because":null,"text":""}],
        "buckets":[{"kind":"rate","count":60,"unit_ns":60000000000,"burst":6},{"kind":"max-file","bytes":67108864}],
        "rules":[{"source":0,"effect":"allow","action":"read","pattern":"/w/**","limits":[1]},
                 {"source":0,"effect":"allow","action":"call","pattern":"f:w","limits":[0],"condition":{"op":"and","of":[
                    {"op":"test","arg":["n"],"each":null,"test":{"kind":"compare","cmp":"<=","value":1.50}},
                    {"op":"test","arg":["s"],"each":null,"test":{"kind":"length","cmp":"<","count":20}},
                    {"op":"test","arg":["x"],"each":null,"test":{"kind":"compare","cmp":"!=","value":null}}]}}],
        "blocks":{"filesystem":[1],"network":[],"mcp":[]},
        "resources":{"memory":1,"swap":0,"disk":1,"tmp":1,"output":1,"cpu":2000,"processes":1,"threads":8,"open-files":1,
            "cpu-time":1,"wall-time":1,"idle-time":1,"io-read":null,"io-write":{"count":1,"unit_ns":1}},
        "stated":[],"home":"real","workspace":"direct","accept":[],"environment":{"keep":[],"set":{},"secrets":[]},
        "capabilities":[],"alerts":[],"tripwires":[],"pins":[],"bindings":{},"host_sets":{},"public_suffix_date":""}"#;

    #[test]
    fn a_whole_form_is_read_with_its_numbers() {
        let compiled = Compiled::parse(WHOLE.as_bytes()).unwrap();
        assert_eq!(compiled.buckets[1], Bucket::MaxFile { bytes: 67_108_864 });
        assert_eq!(
            compiled.resources.io_write,
            Some(ByteRate { count: 1, unit_ns: 1 })
        );
    }

    #[test]
    fn what_is_refused() {
        let cases = [
            (r#""format":1"#, r#""format":2"#),
            (r#""format":1"#, r#""format":1,"format":1"#),
            (r#""stated":[]"#, r#""stated":[],"new":1"#),
            (r#""stated":[],"#, ""),
            (r#""ancestors":[]"#, r#""ancestors":[0]"#),
            (r#""policy":0"#, r#""policy":1"#),
            (
                r#"{"source":0,"effect":"allow","action":"read""#,
                r#"{"source":1,"effect":"allow","action":"read""#,
            ),
            (r#""limits":[1]"#, r#""limits":[2]"#),
            (r#""filesystem":[1]"#, r#""filesystem":[2]"#),
            (r#""/w/**""#, r#""/w/**x""#),
            (r#""pattern":"/w/**""#, r#""pattern":"/w/**","ports":[[1,2]]"#),
            (r#""pattern":"/w/**""#, r#""pattern":"/w/**","kill":true"#),
            (r#""f:w""#, r#""f:**""#),
            (
                r#""effect":"allow","action":"read""#,
                r#""effect":"hold","action":"read""#,
            ),
            (
                r#""kind":"max-file","bytes":67108864"#,
                r#""kind":"max-file","bytes":0"#,
            ),
            (
                r#""kind":"max-file","bytes":67108864"#,
                r#""kind":"max-file","count":1"#,
            ),
            (
                r#""kind":"length","cmp":"<","count":20"#,
                r#""kind":"length","cmp":"<""#,
            ),
            (
                r#""tripwires":[]"#,
                r#""tripwires":[{"name":"t","source":1,"reactions":[]}]"#,
            ),
        ];
        for (whole, broken) in cases {
            assert!(WHOLE.contains(whole), "{whole}");
            let text = WHOLE.replacen(whole, broken, 1);
            assert!(Compiled::parse(text.as_bytes()).is_err(), "{broken}");
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_without_panic(bytes in prop::collection::vec(any::<u8>(), 0..64)) {
            prop_assert!(Compiled::parse(&bytes).is_err());
        }

        #[test]
        fn a_changed_byte_never_panics(at in 0..WHOLE.len(), byte in any::<u8>()) {
            let mut bytes = WHOLE.as_bytes().to_vec();
            bytes[at] = byte;
            let _whole_or_not = Compiled::parse(&bytes);
        }
    }
}
