//! What is still taken with the room that the disk has.

use std::time::Duration;

use bitchat_protocol::id::DeviceId;
use bitchat_protocol::mailbox::{Order, Question, Request};

use crate::store::Room;

/// When an asker may come back that found the disk full. A sender goes to another node meanwhile.
pub(super) const RETRY: Duration = Duration::from_secs(60);

/// The room that the question of `peer` to `us` needs. One that does not parse needs none: it is told so.
pub(super) fn needs(frame: &[u8], us: DeviceId, peer: DeviceId) -> Room {
    match Request::decode(frame).map(|request| request.question) {
        Ok(Question::Order(order)) => match order.open(us, peer) {
            Ok(Order::Fetch { .. }) | Err(_) => Room::None,
            Ok(Order::Taken(_) | Order::End) => Room::Reserve,
            Ok(
                Order::Rent { .. }
                | Order::Tags { .. }
                | Order::Stock { .. }
                | Order::Fellows { .. },
            ) => Room::Low,
        },
        Ok(Question::Deposit { .. } | Question::Prekeys(_)) => Room::Low,
        Ok(Question::Offer) | Err(_) => Room::None,
    }
}

#[cfg(test)]
mod tests {
    use bitchat_protocol::crypto::{Secret, SigningSecret};
    use bitchat_protocol::mailbox::{Admission, RequestId, SignedOrder, Token};
    use bitchat_protocol::time::UnixMillis;

    use super::*;

    #[test]
    fn on_a_full_disk_reading_goes_on_and_deleting_a_while_longer_than_taking() {
        let key = SigningSecret::from_seed(Secret::take(&mut [1; 32]));
        let (us, peer) = (DeviceId([2; 32]), DeviceId([3; 32]));
        let order = |order| Question::Order(SignedOrder::sign(&order, &key, us, peer));
        let admission = Admission::Token(Token::new([4; 32]));
        let deposit = Question::Deposit { admission, until: UnixMillis(5), seal: vec![6] };

        for (question, room) in [
            (order(Order::Fetch { after: 0, wait_ms: 0 }), Room::None),
            (Question::Offer, Room::None),
            (order(Order::Taken(vec![1])), Room::Reserve),
            (order(Order::End), Room::Reserve),
            (order(Order::Tags { add: Vec::new(), remove: Vec::new() }), Room::Low),
            (deposit, Room::Low),
        ] {
            let frame = Request { id: RequestId(1), question }.encode();
            assert_eq!(needs(&frame, us, peer), room);
        }
    }
}
