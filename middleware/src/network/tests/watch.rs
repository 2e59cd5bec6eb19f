use std::time::Duration;

use tokio::time::timeout;

use crate::config::UploadConfig;
use crate::event::Events;
use crate::network::{By, Gate, watch};

/// Nobody else would open it: what waits would wait for ever.
#[tokio::test]
async fn whoever_stops_watching_leaves_the_gate_open() {
    let (gate, network) = (
        Gate::new(Events::default()),
        UploadConfig::default().network,
    );
    let watching = watch(&network, &gate, |_| {});
    let in_a_pause = async {
        gate.shut(By::Network);
        assert!(
            timeout(Duration::from_millis(1), gate.opened())
                .await
                .is_err()
        );
    };
    tokio::select! {
        () = watching => {}
        () = in_a_pause => {}
    }
    assert!(gate.is_open());
}
