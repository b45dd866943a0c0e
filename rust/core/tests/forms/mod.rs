//! Small compiled forms for tests.

use replicante_core::engine::Engine;
use replicante_core::policy::Form;

/// An engine of three policies; `top` (2) extends `left` (0) and `right` (1), which don't know each other. Each entry is
/// its policy and its JSON without `source`.
pub fn engine<T: AsRef<str>>(entries: &[(usize, T)]) -> Engine {
    limited("", "", entries)
}

/// The same with buckets, of which those with these indices are limits of the block `network`.
pub fn limited<T: AsRef<str>>(buckets: &str, of_network: &str, entries: &[(usize, T)]) -> Engine {
    let source = |policy: usize| {
        format!(
            r#"{{"id":"p{policy}/r","policy":{policy},"file":"","line":1,"column":1,"because":null,"text":""}}"#
        )
    };
    let sources = [0, 1, 2].map(source).join(",");
    let rules: Vec<String> = entries
        .iter()
        .map(|(policy, rest)| format!(r#"{{"source":{policy},{}}}"#, rest.as_ref()))
        .collect();
    let rules = rules.join(",");
    let text = format!(
        r#"{{"format":2,"name":"top","trust_digest":"","policies":[
        {{"name":"left","shipped":false,"ancestors":[]}},{{"name":"right","shipped":false,"ancestors":[]}},
        {{"name":"top","shipped":false,"ancestors":[0,1]}}],
        "sources":[{sources}],"buckets":[{buckets}],"rules":[{rules}],"blocks":{{"filesystem":[],"network":[{of_network}],"mcp":[]}},
        "resources":{{"memory":1,"swap":0,"disk":1,"tmp":1,"output":1,"cpu":1,"processes":1,"threads":1,
        "open-files":1,"cpu-time":1,"wall-time":1,"idle-time":1,"io-read":null,"io-write":null}},
        "stated":[],"home":"real","workspace":"direct","accept":[],
        "environment":{{"keep":[],"set":{{}},"secrets":[]}},"capabilities":[],"alerts":[],"tripwires":[],"pins":[],"tests":[],
        "variables":["home","workspace"],"host_sets":{{}},"public_suffix_date":""}}"#
    );
    let values = [("workspace", "/home/ada/shop"), ("home", "/home/ada")]
        .map(|(name, value)| (name.to_owned(), value.to_owned()));
    Engine::new(
        Form::parse(text.as_bytes())
            .unwrap()
            .bind(&values.into())
            .unwrap(),
    )
}
