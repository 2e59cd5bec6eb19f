//! What resumability costs: the layer against bare axum servers, over loopback.
//!
//! ```sh
//! cargo bench -p steadfast-benches --bench loopback
//! cargo bench -p steadfast-benches --bench loopback -- --quick --only eight
//! cargo bench -p steadfast-benches --bench loopback -- --dir /mnt/xfs --only power-small
//! ```

use std::io::Write as _;
use std::process::ExitCode;

fn main() -> ExitCode {
    match steadfast_benches::run(std::env::args().skip(1)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let _ = writeln!(std::io::stderr(), "loopback: {error}");
            ExitCode::FAILURE
        }
    }
}
