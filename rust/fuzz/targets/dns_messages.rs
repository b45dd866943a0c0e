//! Queries of an agent: the answer is a message with the query's own number, and tells nothing that was not found.
#![no_main]

use hickory_proto::op::{Message, MessageType, ResponseCode};
use libfuzzer_sys::fuzz_target;
use replicante_shim::egress::dns::answer;

fuzz_target!(|bytes: &[u8]| {
    let Some(answered) = answer(bytes, &|_| Err(ResponseCode::NXDomain)) else {
        return;
    };
    let Ok(message) = Message::from_vec(&answered) else {
        panic!("the answer is no message: {answered:?}");
    };
    assert_eq!(answered[..2], bytes[..2]);
    assert_eq!(message.metadata.message_type, MessageType::Response);
    assert_ne!(message.metadata.response_code, ResponseCode::NoError);
    assert!(message.answers.is_empty());
});
