use proptest::prelude::*;

use super::*;
use crate::id::DeviceId;
use crate::store::MemoryStore;

fn begun() -> Delivery {
    Delivery::begin(AccountId([1; 32]), UnixMillis(1))
}

fn receipt(mailbox: u8, until: u64) -> CustodyReceipt {
    let bytes = vec![mailbox; 100];
    let (mailbox, envelope) = (DeviceId([mailbox; 32]), [9; 32]);
    CustodyReceipt { mailbox, envelope, until: UnixMillis(until), bytes, at: UnixMillis(2) }
}

#[derive(Clone, Debug)]
enum Happening {
    Reach(usize),
    Late,
    Custody(u8, u64),
    Reread,
}

fn happening() -> impl Strategy<Value = Happening> {
    prop_oneof![
        4 => (0usize..8).prop_map(Happening::Reach),
        1 => Just(Happening::Late),
        1 => (0u8..8, 0u64..9).prop_map(|(mailbox, until)| Happening::Custody(mailbox, until)),
        1 => Just(Happening::Reread),
    ]
}

fn height(state: DeliveryState) -> u8 {
    // An end is a place of its own: no rung and no other end may be reached from it.
    if state.is_failure() { u8::MAX } else { state as u8 }
}

proptest! {
    /// Whatever comes in whatever order, also over a restart: no state lies below the one before it, an end
    /// stays, and every step that was reached is still told.
    #[test]
    fn a_state_never_goes_back(happenings in prop::collection::vec(happening(), 0..40)) {
        let mut store = Overlay::new(MemoryStore::default());
        let (id, mut delivery) = (MessageId([4; 16]), begun());
        delivery.write(&mut store, id);
        for (number, happening) in happenings.into_iter().enumerate() {
            let (before, steps) = (delivery.state(), delivery.steps().count());
            let at = UnixMillis(10 + u64::try_from(number).unwrap_or(0));
            match happening {
                Happening::Reach(state) => {
                    let state = DeliveryState::ALL[state];
                    let moved = delivery.reach(state, "x", at);
                    prop_assert_eq!(moved, delivery.state() != before);
                }
                Happening::Late => drop(delivery.arrived_late(at)),
                Happening::Custody(mailbox, until) => {
                    let _ = delivery.keep(receipt(mailbox, until));
                }
                Happening::Reread => {}
            }
            delivery.write(&mut store, id);
            delivery = Delivery::read(&store, id).expect("own row").expect("a row");
            let after = delivery.state();
            prop_assert!(height(after) >= height(before), "{:?} after {:?}", after, before);
            prop_assert!(!before.is_failure() || after == before);
            prop_assert!(delivery.steps().count() >= steps);
            prop_assert!(delivery.custody().len() <= CUSTODY_MAX);
            prop_assert!(delivery.late.is_none() || after.is_failure());
        }
    }
}

#[test]
fn receipts_of_five_mailboxes_are_kept_as_they_came_and_one_counts_once() {
    let mut delivery = begun();

    let kept: Vec<_> = [(1, 50), (1, 40), (1, 60), (2, 50), (3, 50), (4, 50), (5, 50), (6, 50)]
        .into_iter()
        .map(|(mailbox, until)| delivery.keep(receipt(mailbox, until)))
        .collect();

    let (yes, known, full) = (Kept::Yes, Kept::Known, Kept::NoRoom);
    assert_eq!(kept, [yes, known, yes, yes, yes, yes, yes, full]);
    assert_eq!(delivery.custody().first(), Some(&receipt(1, 60)));
    assert_eq!((delivery.mailboxes(UnixMillis(49)), delivery.mailboxes(UnixMillis(50))), (5, 1));
    let long = CustodyReceipt { bytes: vec![0; CUSTODY_BYTES_MAX + 1], ..receipt(1, 99) };
    assert_eq!(delivery.keep(long), Kept::NoRoom);
}

#[test]
fn a_row_whose_steps_go_back_is_corrupt() {
    let mut row = begun().to_rest();
    let step = |state: DeliveryState| rest::DeliveryStep {
        state: u32::from(state as u8),
        at_ms: 1,
        evidence: String::new(),
    };
    row.steps.extend([step(DeliveryState::Delivered), step(DeliveryState::Sent)]);

    assert!(Delivery::from_rest(row).is_err());
    assert!(
        Delivery::from_rest(rest::Delivery { steps: Vec::new(), ..begun().to_rest() }).is_err()
    );
}
