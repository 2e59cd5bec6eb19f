use std::sync::Arc;

use crate::engine::{Deliver, Delivered, Delivery};
use crate::sabotage::{Bug, has};
use crate::store::BoxFuture;

pub(super) struct Twice(pub(super) Arc<dyn Deliver>);

impl Deliver for Twice {
    fn deliver(&self, delivery: Delivery) -> BoxFuture<'static, Delivered> {
        if !has(Bug::DeliverTwice) {
            return self.0.deliver(delivery);
        }
        let inner = Arc::clone(&self.0);
        Box::pin(async move {
            // Its outcome is forgotten, as by a task that was begun again.
            inner.deliver(delivery.clone()).await;
            inner.deliver(delivery).await
        })
    }
}
