//! What is said about other copies of this device.

use bitchat_protocol::copies::CopiesSeen;

use crate::control::Warning;
use crate::metrics::WarningCode;

/// The warnings that this file makes.
pub(super) const CODES: [WarningCode; 2] = [WarningCode::CopiedDatadir, WarningCode::Superseded];

/// What stands to be said.
pub(super) fn warnings(seen: CopiesSeen) -> Vec<Warning> {
    let mut warnings = Vec::new();
    if seen.superseded {
        warnings.push(warning(
            WarningCode::Superseded,
            "this account has a later device; contacts talk to that one",
            "if you use that one, stop this node for good: what waits here is not delivered; if this is the \
             one that you use: `bitchat key reclaim`",
        ));
    }
    if seen.copied {
        warnings.push(warning(
            WarningCode::CopiedDatadir,
            "another copy of this profile has been in use: a contact holds what this one never sent",
            "stop one of the two; then `bitchat status --dismiss copied_datadir` here",
        ));
    } else if seen.moved {
        warnings.push(warning(
            WarningCode::CopiedDatadir,
            "the data directory was copied, or belongs to another machine",
            "if no other copy is in use: `bitchat status --dismiss copied_datadir`; to move an \
             account, use `bitchat backup`",
        ));
    }
    warnings
}

fn warning(code: WarningCode, message: &str, hint: &str) -> Warning {
    Warning { code, message: message.to_owned(), hint: hint.to_owned() }
}
