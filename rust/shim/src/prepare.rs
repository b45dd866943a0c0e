//! What a launch decides before anything starts: the agent's user, its view of files, the masks.

use crate::description::Description;
use crate::error::ShimError;
use crate::policy::Policy;
use crate::uid_lease::{self, Lease};
use replicante_core::policy::Home;
use replicante_sandbox::error::StepError;
use replicante_sandbox::launch::User;
use replicante_sandbox::view::{Inputs, Layout, Places, Questions, Rights, View, Visibility, layout, plan};
use std::fmt::Write as _;

/// The agent's user: the caller, or as root the workspace's owner, or one that no other live run has.
pub fn user(description: &Description) -> Result<(User, Option<Lease>), ShimError> {
    let (uid, gid) = (
        rustix::process::geteuid().as_raw(),
        rustix::process::getegid().as_raw(),
    );
    if uid != 0 {
        let caller = User {
            uid,
            gid,
            owner: None,
        };
        return Ok((caller, None));
    }
    let workspace = description
        .workspace
        .as_ref()
        .unwrap_or(&description.bindings["workspace"]);
    let stat = rustix::fs::stat(workspace.as_str())
        .map_err(|errno| StepError::new("look at the workspace", workspace, errno))?;
    if stat.st_uid != 0 {
        let owner = User {
            uid: stat.st_uid,
            gid: stat.st_gid,
            owner: Some((stat.st_uid, stat.st_gid)),
        };
        return Ok((owner, None));
    }
    let lease = uid_lease::take(&description.uids)?;
    let own = User {
        uid: lease.uid,
        gid: lease.uid,
        owner: Some((0, 0)),
    };
    Ok((own, Some(lease)))
}

/// Plans the view of a run, with files that are made whatever the rules say: path and text.
///
/// # Errors
/// A line for a person when a rule asks for what no mechanism here can give.
pub fn view(
    description: &Description,
    policy: &Policy,
    user: User,
    visibility: Visibility,
    made: Vec<(String, String)>,
) -> Result<View, String> {
    let answers = policy.questions();
    let inputs = inputs(description, policy, answers.as_questions(), user);
    plan(&Inputs {
        visibility,
        made,
        ..inputs
    })
}

fn inputs<'a>(
    description: &Description,
    policy: &Policy,
    questions: Questions<'a>,
    user: User,
) -> Inputs<'a> {
    let places = &description.bindings;
    let compiled = policy.compiled();
    let machine_id = description.run.bytes().fold(String::new(), |mut text, byte| {
        // Writing to a string does not fail.
        let _ = write!(text, "{byte:02x}");
        text
    });
    Inputs {
        bindings: Places {
            workspace: places["workspace"].clone(),
            home: places["home"].clone(),
            tmp: places["tmp"].clone(),
            cache: places["cache"].clone(),
            runtime: places["runtime"].clone(),
            user: places["user"].clone(),
        },
        questions,
        allows: policy.patterns(true),
        restrictions: policy.patterns(false),
        workspace: description.workspace.clone(),
        private_home: if compiled.home == Home::Real {
            None
        } else {
            description.private_home.clone()
        },
        cache: description.cache.clone(),
        tmp_size: compiled.resources.tmp,
        beneath: description.beneath.clone(),
        read_only: description.read_only.clone(),
        uid: user.uid,
        gid: user.gid,
        machine_id: format!("{machine_id:0<32.32}"),
        visibility: Visibility::Nowhere,
        made: Vec::new(),
    }
}

/// What the FUSE server answers for in a view.
pub fn served(view: &View, policy: &Policy, user: User) -> Layout {
    let answers = policy.questions();
    let listed = |path: &str| (answers.as_questions().rights)(path).has(Rights::READ);
    layout(view, (user.uid, user.gid), &listed)
}
