//! Types that hold secrets wipe them, and the compiler is the witness.

use zeroize::ZeroizeOnDrop;

/// Marks a struct as [`ZeroizeOnDrop`] because each of its secret fields is. Names every field, so
/// that a new one does not compile before somebody has decided whether it is `open`.
///
/// ```
/// use bitchat_protocol::crypto::{Secret, wiped};
/// struct Pair {
///     key: Secret<32>,
///     number: u32,
/// }
/// wiped!(Pair { key } open { number });
/// ```
///
/// ```compile_fail
/// use bitchat_protocol::crypto::wiped;
/// struct Careless {
///     key: Vec<u8>,
/// }
/// wiped!(Careless { key } open {});
/// ```
#[doc(hidden)]
#[macro_export]
macro_rules! wiped {
    ($type:ident { $($secret:ident),* } open { $($open:ident),* }) => {
        impl ::zeroize::ZeroizeOnDrop for $type {}
        const _: fn(&$type) = |$type { $($secret,)* $($open: _,)* }| {
            $($crate::crypto::wipes_itself($secret);)*
        };
    };
}

pub use wiped;

/// Compiles for what wipes itself.
pub const fn wipes_itself<T: ZeroizeOnDrop>(_: &T) {}

#[cfg(test)]
mod tests {
    use std::fmt::Debug;

    use chacha20poly1305::XChaCha20Poly1305;
    use rand_chacha::ChaCha20Rng;
    use rand_chacha::rand_core::SeedableRng;

    use super::*;
    use crate::crypto::{
        ChainWalk, DecapsulationKey, DhSecret, KemSecret, MlKem768, Secret, SigningSecret,
    };
    use crate::identity::{Account, Device, Phrase};
    use crate::ratchet::{InitialKeys, Ratchet};

    /// Does not compile for a type that is `Clone`, and so for none that is `Copy`: which of the two
    /// implementations is meant is then ambiguous.
    macro_rules! cannot_be_copied {
        ($($type:ty),* $(,)?) => {
            $(const _: fn() = || {
                trait Whatever<A> {
                    fn name() {}
                }
                impl<T: ?Sized> Whatever<()> for T {}
                struct Cloneable;
                impl<T: ?Sized + Clone> Whatever<Cloneable> for T {}
                <$type as Whatever<_>>::name();
            };)*
        };
    }

    macro_rules! wiped_when_dropped {
        ($($type:ty),* $(,)?) => {
            $(const _: fn(&$type) = wipes_itself::<$type>;)*
        };
    }

    macro_rules! secrets {
        ($($type:ty),* $(,)?) => {
            cannot_be_copied!($($type),*);
            wiped_when_dropped!($($type),*);
        };
    }

    secrets!(
        Secret<32>,
        Secret<64>,
        DhSecret,
        SigningSecret,
        ChainWalk,
        DecapsulationKey<MlKem768>,
        KemSecret,
        Phrase,
        Account,
        Device,
        InitialKeys,
        Ratchet,
    );

    fn says_nothing(name: &str, value: &dyn Debug) {
        let (short, long) = (format!("{value:?}"), format!("{value:#?}"));
        for text in [short, long] {
            // 0x41 in decimal, hexadecimal and as a letter.
            for byte in ["65", "0x41", "41, ", "4141", "AA"] {
                assert!(!text.contains(byte), "{name}: {text}");
            }
            assert!(text.contains("..)"), "{name}: {text}");
        }
    }

    /// What other crates make of our secrets wipes itself only if their `zeroize` feature is on, and
    /// whoever takes it away changes no line of ours. Fails when it is compiled.
    #[test]
    fn zeroize_lost_by_feature_flags() {
        wiped_when_dropped!(
            ed25519_dalek::SigningKey,
            x25519_dalek::StaticSecret,
            x25519_dalek::SharedSecret,
            XChaCha20Poly1305,
            bip39::Mnemonic,
        );
    }

    #[test]
    fn keys_in_debug() {
        let secret = || Secret::<32>::take(&mut [0x41; 32]);
        let mut rng = ChaCha20Rng::seed_from_u64(1);
        let phrase = Phrase::from_entropy(secret()).expect("32 bytes");
        let account = Account::from_phrase(&phrase);
        let device = Device::from_secrets(secret(), secret());
        let keys = || InitialKeys {
            root: secret(),
            header_initiator: secret(),
            header_responder: secret(),
        };
        let ratchet = Ratchet::responder(keys(), DhSecret::from_secret(secret()));

        says_nothing("Secret", &secret());
        says_nothing("DhSecret", &DhSecret::from_secret(secret()));
        says_nothing("SigningSecret", &SigningSecret::from_seed(secret()));
        says_nothing("KemSecret", &KemSecret::random(&mut rng));
        says_nothing("Phrase", &phrase);
        says_nothing("Account", &account);
        says_nothing("Device", &device);
        says_nothing("InitialKeys", &keys());
        says_nothing("Ratchet", &ratchet);
        let words = phrase.words();
        let word = words.split(' ').next().expect("24 words");
        assert!(!format!("{phrase:?}").contains(word));
    }
}
