//! A backup as a new device in an empty home.

use std::io::Read;

use bitchat_protocol::backup::Item;
use bitchat_protocol::crypto::Secret;
use bitchat_protocol::engine::restored_key;
use bitchat_protocol::store::Overlay;
use rand::rngs::SysRng;
use rand_core::UnwrapErr;

use super::open::Opened;
use super::{Contents, damaged};
use crate::control::peer_id;
use crate::error::NodeError;
use crate::home::Home;
use crate::keystore::{Factors, Keystore, Secrets};
use crate::profile::{self, Credentials, wall_clock};
use crate::store::SledStore;

/// Rows in one commit.
const COMMIT_ROWS: usize = 256;

/// What a restore made.
#[derive(Debug)]
pub struct Restored {
    /// What was in the backup.
    pub contents: Contents,
    /// `PeerId` text of the new device.
    pub device: String,
    /// Its generation.
    pub generation: u64,
}

/// Makes a profile out of a backup. `passphrase` opens the backup, `own` will guard the new key
/// store; without a passphrase in it the store is unprotected, which is for an explicit flag only.
///
/// # Errors
///
/// [`NodeError::ProfileExists`] before anything is read; those of [`super::verify`]; those of making
/// a profile. A home without profile stays one then.
pub fn restore(
    home: &Home,
    input: impl Read,
    passphrase: &str,
    own: Credentials,
) -> Result<Restored, NodeError> {
    if home.has_profile() {
        return Err(NodeError::ProfileExists { home: home.root().to_owned() });
    }
    profile::check_socket_path(home)?;
    let own = own.guarding(true)?;
    let backup = Opened::new(input, passphrase)?;
    home.create()?;
    let _lock = home.lock()?;
    profile::staged(home, own, |staging, own| make(staging, backup, own))
}

/// Puts the new profile together in `staging`.
fn make<R: Read>(
    staging: &Home,
    mut backup: Opened<R>,
    factors: Factors,
) -> Result<Restored, NodeError> {
    let mut rng = UnwrapErr(SysRng);
    let now = wall_clock();
    let head = backup.head();
    let secrets = Secrets {
        phrase_entropy: head.phrase_entropy.duplicate(),
        device_seed: Secret::random(&mut rng),
        device_dh: Secret::random(&mut rng),
        number: head.number,
        generation: now.0.max(head.generation.saturating_add(1)),
        created: now,
        nickname: head.nickname.clone(),
    };
    let unlocked = Keystore::create(&staging.keystore(), &factors, &secrets, &mut rng)?;
    let store = SledStore::open(&staging.data(), unlocked.store_keys)?;
    let contents = fill(&store, &mut backup)?;
    let identity = profile::setup(&secrets, false, false)?.identity;
    let device = peer_id::text(&identity.device().id());
    Ok(Restored { contents, device, generation: secrets.generation })
}

/// Writes every item as rows, in commits of bounded size.
fn fill<R: Read>(store: &SledStore, backup: &mut Opened<R>) -> Result<Contents, NodeError> {
    let mut overlay = Overlay::new(store.clone());
    while let Some(item) = backup.item()? {
        check(&item)?;
        let written = item.write(&mut overlay);
        written.map_err(|error| NodeError::StoreFailed { reason: error.to_string() })?;
        if overlay.open_writes() >= COMMIT_ROWS {
            commit(store, &mut overlay)?;
        }
    }
    let contents = backup.contents()?;
    overlay.put(restored_key(), vec![1]);
    commit(store, &mut overlay)?;
    Ok(contents)
}

fn commit(store: &SledStore, overlay: &mut Overlay<SledStore>) -> Result<(), NodeError> {
    let Some(batch) = overlay.seal() else { return Ok(()) };
    let durable = store.commit(std::slice::from_ref(&batch));
    let durable = durable.map_err(|error| NodeError::StoreFailed { reason: error.to_string() })?;
    durable.iter().for_each(|durable| overlay.persisted(durable.batch()));
    Ok(())
}

/// A second head would be another identity.
fn check(item: &Item) -> Result<(), NodeError> {
    if matches!(item, Item::Head(_)) { Err(damaged("it has two identities")) } else { Ok(()) }
}
