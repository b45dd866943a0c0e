//! Puts secrets into requests that they are for, and their placeholders back into what comes back (C4).

use super::gate::Refusal;
use super::requests::Scheme;
use super::target::Target;
use crate::secrets::Secret;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hyper::HeaderMap;
use hyper::body::{Body, Bytes, Frame, SizeHint};
use hyper::header::{HeaderName, HeaderValue};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};
use zeroize::Zeroizing;

/// The secrets of a run, as requests need them.
pub struct Brokered {
    secrets: Vec<Secret>,
    masks: Vec<Rc<Mask>>,
}

impl Brokered {
    pub fn new(secrets: Vec<Secret>) -> Self {
        let masks = secrets.iter().map(|secret| Rc::new(Mask::of(secret))).collect();
        Self { secrets, masks }
    }

    pub fn all(&self) -> &[Secret] {
        &self.secrets
    }

    /// The values that a host gets, which must not come back from it.
    pub fn masks(&self, target: &Target) -> Vec<Rc<Mask>> {
        let pairs = self.secrets.iter().zip(&self.masks);
        pairs
            .filter(|(secret, _)| secret.is_for(&target.host))
            .map(|(_, mask)| Rc::clone(mask))
            .collect()
    }
}

/// Puts the values of secrets in place of their placeholders in the headers of a request; gives what else must not come
/// back: the credentials of the basic scheme, of which the agent could read the value.
///
/// # Errors
/// The secret whose placeholder is in a request that must not have its value.
pub fn put_in(
    secrets: &[Secret],
    target: &Target,
    scheme: Scheme,
    url: &str,
    headers: &mut HeaderMap,
) -> Result<Vec<Rc<Mask>>, Refusal> {
    let mut masks = Vec::new();
    for secret in secrets {
        let elsewhere = |what: &str| {
            Refusal::misused(
                &secret.rule,
                &format!("the placeholder of {} {what}", secret.name),
            )
        };
        if url.contains(&secret.placeholder) {
            return Err(elsewhere("in an address"));
        }
        for value in headers.values_mut() {
            let Some(revealed) = replaced(value, &secret.placeholder, secret.value()) else {
                continue;
            };
            if !secret.is_for(&target.host) {
                return Err(elsewhere("for another host"));
            }
            if scheme != Scheme::Https {
                return Err(elsewhere("without TLS"));
            }
            masks.extend(Mask::of_credentials(&revealed, value).map(Rc::new));
            *value = revealed;
        }
    }
    Ok(masks)
}

/// Puts placeholders in place of values in headers.
pub fn take_out(secrets: &[Rc<Mask>], headers: &mut HeaderMap) {
    for mask in secrets {
        // Names are written in lower case, and a placeholder is none.
        let lower = Zeroizing::new(mask.value.to_ascii_lowercase());
        let names: Vec<HeaderName> = headers
            .keys()
            .filter(|name| name.as_str().contains(lower.as_str()))
            .cloned()
            .collect();
        for name in names {
            headers.remove(name);
        }
        for value in headers.values_mut() {
            if let Some(masked) = replaced(value, &mask.value, &mask.placeholder) {
                *value = masked;
            }
        }
    }
}

/// A header's value with `old` replaced, also inside of the credentials of the basic scheme (RFC 7617); `None` without it.
fn replaced(value: &HeaderValue, old: &str, new: &str) -> Option<HeaderValue> {
    // Bytes, since a header may have others than ASCII beside the value.
    let revealed = Zeroizing::new(replace(value.as_bytes(), old.as_bytes(), new.as_bytes()));
    let text = if revealed.as_slice() == value.as_bytes() {
        let credentials = credentials(value)?;
        let decoded = Zeroizing::new(STANDARD.decode(credentials).ok()?);
        let revealed = Zeroizing::new(replace(&decoded, old.as_bytes(), new.as_bytes()));
        if revealed == decoded {
            return None;
        }
        Zeroizing::new(format!("Basic {}", STANDARD.encode(&revealed)).into_bytes())
    } else {
        revealed
    };
    let mut value = HeaderValue::from_bytes(&text).ok()?;
    value.set_sensitive(true);
    Some(value)
}

/// The credentials of the basic scheme, encoded.
fn credentials(value: &HeaderValue) -> Option<&str> {
    let (scheme, credentials) = value.to_str().ok()?.split_once(' ')?;
    scheme.eq_ignore_ascii_case("basic").then(|| credentials.trim())
}

/// A value that must not come back, and what stands for it.
pub struct Mask {
    value: Zeroizing<String>,
    placeholder: String,
}

impl Mask {
    pub fn of(secret: &Secret) -> Self {
        Self {
            value: Zeroizing::new(secret.value().to_owned()),
            placeholder: secret.placeholder.clone(),
        }
    }

    /// The encoded credentials that were put in place of the agent's.
    fn of_credentials(revealed: &HeaderValue, given: &HeaderValue) -> Option<Self> {
        Some(Self {
            value: Zeroizing::new(credentials(revealed)?.to_owned()),
            placeholder: credentials(given)?.to_owned(),
        })
    }

    /// Whether a body keeps its length.
    pub fn keeps_length(&self) -> bool {
        self.value.len() == self.placeholder.len()
    }
}

/// A body in which the values are replaced as it passes, also where one lies across two pieces. No byte waits that can't
/// be the beginning of a value.
pub struct Masked<B> {
    body: B,
    masks: Vec<Rc<Mask>>,
    kept: Vec<u8>,
    ended: bool,
}

impl<B> Masked<B> {
    pub fn new(body: B, masks: Vec<Rc<Mask>>) -> Self {
        Self {
            body,
            masks,
            kept: Vec::new(),
            ended: false,
        }
    }

    /// Takes a piece in and gives what may go on.
    fn pass(&mut self, piece: &[u8]) -> Vec<u8> {
        let mut text = std::mem::take(&mut self.kept);
        text.extend_from_slice(piece);
        for mask in &self.masks {
            text = replace(&text, mask.value.as_bytes(), mask.placeholder.as_bytes());
        }
        let beginnings = self
            .masks
            .iter()
            .map(|mask| beginning(&text, mask.value.as_bytes()));
        let kept = beginnings.max().unwrap_or(0);
        self.kept = text.split_off(text.len() - kept);
        text
    }
}

/// How many bytes at the end may be the beginning of a value.
fn beginning(text: &[u8], value: &[u8]) -> usize {
    let most = value.len().saturating_sub(1).min(text.len());
    (1..=most)
        .rev()
        .find(|length| value.starts_with(&text[text.len() - length..]))
        .unwrap_or(0)
}

fn replace(text: &[u8], old: &[u8], new: &[u8]) -> Vec<u8> {
    let mut result = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.windows(old.len()).position(|window| window == old) {
        result.extend_from_slice(&rest[..at]);
        result.extend_from_slice(new);
        rest = &rest[at + old.len()..];
    }
    result.extend_from_slice(rest);
    result
}

impl<B> Body for Masked<B>
where
    B: Body<Data = Bytes> + Unpin,
{
    type Data = Bytes;
    type Error = B::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, B::Error>>> {
        if self.masks.is_empty() {
            return Pin::new(&mut self.body).poll_frame(context);
        }
        loop {
            if self.ended {
                return Poll::Ready(None);
            }
            match Pin::new(&mut self.body).poll_frame(context) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(Some(Err(error))) => return Poll::Ready(Some(Err(error))),
                Poll::Ready(Some(Ok(frame))) => {
                    // Trailers are left out: they come after what was looked through.
                    let Ok(data) = frame.into_data() else {
                        continue;
                    };
                    let text = self.pass(&data);
                    if !text.is_empty() {
                        return Poll::Ready(Some(Ok(Frame::data(text.into()))));
                    }
                }
                Poll::Ready(None) => {
                    self.ended = true;
                    let rest = std::mem::take(&mut self.kept);
                    if !rest.is_empty() {
                        return Poll::Ready(Some(Ok(Frame::data(rest.into()))));
                    }
                }
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        if self.masks.is_empty() {
            self.body.is_end_stream()
        } else {
            self.ended || (self.kept.is_empty() && self.body.is_end_stream())
        }
    }

    fn size_hint(&self) -> SizeHint {
        if self.masks.iter().all(|mask| mask.keeps_length()) {
            self.body.size_hint()
        } else {
            SizeHint::default()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn masked(pieces: &[&[u8]], value: &str, placeholder: &str) -> Vec<u8> {
        let mask = Mask {
            value: Zeroizing::new(value.to_owned()),
            placeholder: placeholder.to_owned(),
        };
        let mut body = Masked::new((), vec![Rc::new(mask)]);
        let mut result: Vec<u8> = pieces.iter().flat_map(|piece| body.pass(piece)).collect();
        result.extend(body.kept);
        result
    }

    #[test]
    fn a_value_in_credentials_is_put_in() {
        let value = HeaderValue::from_str(&format!("Basic {}", STANDARD.encode("me:PLACE"))).unwrap();
        let revealed = replaced(&value, "PLACE", "secret").unwrap();
        assert_eq!(
            revealed.to_str().unwrap(),
            format!("Basic {}", STANDARD.encode("me:secret"))
        );
        assert!(revealed.is_sensitive());
        assert!(replaced(&HeaderValue::from_static("Bearer x"), "PLACE", "secret").is_none());
    }

    #[test]
    fn a_value_comes_back_in_no_part_of_a_header() {
        let mask = Rc::new(Mask {
            value: Zeroizing::new("Secret".to_owned()),
            placeholder: "PLACE!".to_owned(),
        });
        let mut headers = HeaderMap::new();
        headers.append("x-said", HeaderValue::from_bytes(b"caf\xc3\xa9 Secret").unwrap());
        headers.append("x-said", HeaderValue::from_static("Secret, Secret"));
        headers.insert("x-secret-x", HeaderValue::from_static("1"));
        take_out(&[mask], &mut headers);
        let said: Vec<&[u8]> = headers
            .get_all("x-said")
            .iter()
            .map(HeaderValue::as_bytes)
            .collect();
        assert_eq!(said, [b"caf\xc3\xa9 PLACE!".as_slice(), b"PLACE!, PLACE!"]);
        assert!(!headers.contains_key("x-secret-x"));
    }

    #[test]
    fn encoded_credentials_come_back_as_they_were_given() {
        let given = HeaderValue::from_str(&format!("basic {}", STANDARD.encode("me:PLACE"))).unwrap();
        let revealed = replaced(&given, "PLACE", "secret").unwrap();
        let mask = Mask::of_credentials(&revealed, &given).unwrap();
        let mut body = Masked::new((), vec![Rc::new(mask)]);
        let told = format!("it is {}.", STANDARD.encode("me:secret"));
        let passed = body.pass(told.as_bytes());
        assert_eq!(
            passed,
            format!("it is {}.", STANDARD.encode("me:PLACE")).as_bytes()
        );
        let bearer = HeaderValue::from_static("Bearer PLACE");
        let revealed = replaced(&bearer, "PLACE", "secret").unwrap();
        assert!(Mask::of_credentials(&revealed, &bearer).is_none());
    }

    #[test]
    fn what_can_be_no_beginning_does_not_wait() {
        let mask = Mask {
            value: Zeroizing::new("secret".to_owned()),
            placeholder: "******".to_owned(),
        };
        let mut body = Masked::new((), vec![Rc::new(mask)]);
        assert_eq!(body.pass(b"data: 0\n\n"), b"data: 0\n\n");
        assert_eq!(body.pass(b"a sec"), b"a ");
        assert_eq!(body.pass(b"ret, a se"), b"******, a ");
        assert_eq!(body.pass(b"t"), b"set");
    }

    proptest! {
        #[test]
        fn however_it_is_cut_the_value_does_not_pass(text in "[abs]{0,40}", cuts in prop::collection::vec(0usize..40, 0..6)) {
            let text = text.replace('s', "abab");
            let mut cuts: Vec<usize> = cuts.into_iter().map(|cut| cut.min(text.len())).collect();
            cuts.extend([0, text.len()]);
            cuts.sort_unstable();
            let pieces: Vec<&[u8]> = cuts.windows(2).map(|pair| &text.as_bytes()[pair[0]..pair[1]]).collect();
            let result = String::from_utf8(masked(&pieces, "abab", "####")).unwrap();
            prop_assert!(!result.contains("abab"));
            prop_assert_eq!(result.len(), text.len());
        }
    }
}
