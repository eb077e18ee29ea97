//! What is still taken when the disk is full: what only reads.

use std::time::Duration;

use bitchat_protocol::id::DeviceId;
use bitchat_protocol::mailbox::{Order, Question, Request};

/// When an asker may come back that found the disk full. A sender goes to another node meanwhile.
pub(super) const RETRY: Duration = Duration::from_secs(60);

/// Whether the question of `peer` to `us` would write. One that does not parse would not.
pub(super) fn writes(frame: &[u8], us: DeviceId, peer: DeviceId) -> bool {
    match Request::decode(frame).map(|request| request.question) {
        Ok(Question::Order(order)) => {
            !matches!(order.open(us, peer), Ok(Order::Fetch { .. }) | Err(_))
        }
        Ok(Question::Deposit { .. } | Question::Prekeys(_)) => true,
        Ok(Question::Offer) | Err(_) => false,
    }
}

#[cfg(test)]
mod tests {
    use bitchat_protocol::crypto::{Secret, SigningSecret};
    use bitchat_protocol::mailbox::{Admission, RequestId, SignedOrder, Token};
    use bitchat_protocol::time::UnixMillis;

    use super::*;

    #[test]
    fn on_a_full_disk_only_reading_goes_on() {
        let key = SigningSecret::from_seed(Secret::take(&mut [1; 32]));
        let (us, peer) = (DeviceId([2; 32]), DeviceId([3; 32]));
        let order = |order| Question::Order(SignedOrder::sign(&order, &key, us, peer));
        let frame = |question| Request { id: RequestId(1), question }.encode();
        let admission = Admission::Token(Token::new([4; 32]));
        let deposit = Question::Deposit { admission, until: UnixMillis(5), seal: vec![6] };

        for reads in [order(Order::Fetch { after: 0, wait_ms: 0 }), Question::Offer] {
            assert!(!writes(&frame(reads), us, peer));
        }
        for writing in [order(Order::Taken(vec![1])), order(Order::End), deposit] {
            assert!(writes(&frame(writing), us, peer));
        }
    }
}
