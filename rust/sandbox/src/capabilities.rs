//! Capabilities: all dropped but those the policy keeps, and read back. Source: capabilities(7).

use crate::error::{During, StepError};
use rustix::thread::{
    CapabilitiesSecureBits, CapabilitySet, CapabilitySets, capabilities, capability_is_in_bounding_set,
    clear_ambient_capability_set, remove_capability_from_bounding_set, set_capabilities,
    set_capabilities_secure_bits,
};

/// The capability of a policy's name (`NET_BIND_SERVICE`), or `None` if there is none such.
pub fn by_name(name: &str) -> Option<CapabilitySet> {
    CapabilitySet::from_name(name)
}

/// Leaves exactly `keep` in the sandbox's user namespace, and nothing that could come back.
///
/// # Errors
/// The step that failed, or that reading back showed something else: the process must end.
pub fn restrict(keep: CapabilitySet) -> Result<(), StepError> {
    for number in 0..64 {
        let capability = CapabilitySet::from_bits_retain(1 << number);
        match capability_is_in_bounding_set(capability) {
            Ok(true) if !keep.contains(capability) => {
                remove_capability_from_bounding_set(capability)
                    .during("drop a capability", &number.to_string())?;
            }
            Ok(_) => {}
            // Above the last capability of this kernel.
            Err(_) => break,
        }
    }
    clear_ambient_capability_set().during("drop capabilities", "ambient")?;
    let bits = CapabilitiesSecureBits::NO_ROOT
        | CapabilitiesSecureBits::NO_ROOT_LOCKED
        | CapabilitiesSecureBits::NO_SETUID_FIXUP
        | CapabilitiesSecureBits::NO_SETUID_FIXUP_LOCKED
        | CapabilitiesSecureBits::KEEP_CAPS_LOCKED;
    set_capabilities_secure_bits(bits).during("lock capabilities", "securebits")?;
    let sets = CapabilitySets {
        effective: keep,
        permitted: keep,
        inheritable: keep,
    };
    set_capabilities(None, sets).during("drop capabilities", "all")?;
    if !keep.is_empty() {
        for capability in keep.iter() {
            rustix::thread::configure_capability_in_ambient_set(capability, true)
                .during("keep a capability", "ambient")?;
        }
    }
    verify(keep)
}

/// Gives up every capability of the calling thread, which reads what an agent wrote and needs none.
///
/// # Errors
/// As capset(2), or that reading back showed something else.
pub fn give_up() -> Result<(), StepError> {
    let none = CapabilitySet::empty();
    set_capabilities(
        None,
        CapabilitySets {
            effective: none,
            permitted: none,
            inheritable: none,
        },
    )
    .during("drop capabilities", "broker")?;
    let sets = capabilities(None).during("read capabilities back", "broker")?;
    if sets.effective.is_empty() && sets.permitted.is_empty() {
        return Ok(());
    }
    Err(StepError::because(
        "read capabilities back",
        "broker",
        "still holds some",
    ))
}

/// Reads the sets back.
fn verify(keep: CapabilitySet) -> Result<(), StepError> {
    let sets = capabilities(None).during("read capabilities back", "self")?;
    let bounding = (0..64)
        .map(|number| CapabilitySet::from_bits_retain(1 << number))
        .filter(|capability| capability_is_in_bounding_set(*capability) == Ok(true))
        .fold(CapabilitySet::empty(), |all, one| all | one);
    for (name, set) in [
        ("effective", sets.effective),
        ("permitted", sets.permitted),
        ("inheritable", sets.inheritable),
        ("bounding", bounding),
    ] {
        if set.bits() & !keep.bits() != 0 {
            return Err(StepError::because(
                "read capabilities back",
                name,
                format!("still holds {:#x}", set.bits()),
            ));
        }
    }
    Ok(())
}
