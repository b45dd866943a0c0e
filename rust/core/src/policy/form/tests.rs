use super::*;
use crate::policy::{Bucket, ByteRate};
use proptest::prelude::*;

const WHOLE: &str = r#"{"format":2,"name":"p","trust_digest":"",
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
    "capabilities":[],"alerts":[],"tripwires":[],"pins":[],"tests":[],"variables":[],"host_sets":{},"public_suffix_date":""}"#;

fn read(bytes: &[u8]) -> Result<Compiled, BindError> {
    Form::parse(bytes)?.bind(&Values::new())
}

#[test]
fn a_packed_form_is_the_same() {
    let form = Form::parse(WHOLE.as_bytes()).unwrap();
    let packed = form.pack().unwrap();
    let again = Form::unpack(&packed).unwrap();
    assert_eq!(format!("{form:?}"), format!("{again:?}"));
    assert!(Form::unpack(&packed[..packed.len() - 1]).is_err());
    assert!(Form::unpack(&[packed.as_slice(), b"x"].concat()).is_err());
    assert!(Form::unpack(&packed[1..]).is_err());
}

#[test]
fn a_form_is_bound_to_values() {
    let text = WHOLE
        .replace("/w/**", "${workspace}/**")
        .replace(r#""variables":[]"#, r#""variables":["workspace"]"#);
    let values = |workspace: &str| Values::from([("workspace".to_owned(), workspace.to_owned())]);
    let bound = |workspace: &str| Form::parse(text.as_bytes()).unwrap().bind(&values(workspace));
    let (one, other) = (bound("/a").unwrap(), bound("/b").unwrap());
    assert_eq!(one.rules[0].pattern.as_deref(), Some("/a/**"));
    assert_ne!(one.identity, other.identity);
    assert_eq!(bound("a").unwrap_err().code(), Some("P040"));
    assert_eq!(bound("/").unwrap_err().code(), Some("P041"));
    assert_eq!(read(text.as_bytes()).unwrap_err().code(), Some("P040"));
    let unlisted = WHOLE.replace("/w/**", "${home}/**");
    assert_eq!(read(unlisted.as_bytes()).unwrap_err().code(), None);
}

#[test]
fn a_whole_form_is_read_with_its_numbers() {
    let compiled = read(WHOLE.as_bytes()).unwrap();
    assert_eq!(compiled.buckets[1], Bucket::MaxFile { bytes: 67_108_864 });
    assert_eq!(
        compiled.resources.io_write,
        Some(ByteRate { count: 1, unit_ns: 1 })
    );
}

#[test]
fn what_is_refused() {
    let cases = [
        (r#""format":2"#, r#""format":1"#),
        (r#""format":2"#, r#""format":2,"format":2"#),
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
        assert!(read(text.as_bytes()).is_err(), "{broken}");
    }
}

proptest! {
    #[test]
    fn any_bytes_are_read_without_panic(bytes in prop::collection::vec(any::<u8>(), 0..64)) {
        prop_assert!(read(&bytes).is_err());
    }

    #[test]
    fn a_changed_byte_never_panics(at in 0..WHOLE.len(), byte in any::<u8>()) {
        let mut bytes = WHOLE.as_bytes().to_vec();
        bytes[at] = byte;
        let _whole_or_not = read(&bytes);
    }
}
