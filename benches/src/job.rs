use crate::acks::{Beside, Flow};
use crate::lineup::{POWER, POWER_ACKS, PROCESS, PROCESS_ACKS};
use crate::workload::{MIB, Unit, Workload};

/// One table.
#[derive(Debug)]
pub(crate) enum Job {
    /// Whole uploads.
    Uploads(Workload),
    /// Single acknowledgements.
    Acks(Flow),
    /// The same while the app writes something else.
    Beside(Beside),
    /// Flushes for each acknowledgement, counted and not timed.
    Flushes(Vec<Flow>),
}

/// How much is done in a run.
#[derive(Clone, Copy)]
pub(crate) enum Scale {
    /// To be quoted.
    Full,
    /// A quarter of that.
    Quick,
}

impl Job {
    /// As the command line calls it; several may have the same name.
    pub(crate) fn name(&self) -> &'static str {
        match self {
            Self::Uploads(workload) => workload.name,
            Self::Acks(flow) => flow.name,
            Self::Beside(_) => "power-beside",
            Self::Flushes(_) => "power-flushes",
        }
    }

    /// Whether it is done only when it is named.
    pub(crate) fn is_special(&self) -> bool {
        match self {
            Self::Uploads(_) => false,
            Self::Acks(flow) => flow.lineup.goal.is_none(),
            Self::Beside(_) | Self::Flushes(_) => true,
        }
    }
}

/// All there are.
pub(crate) fn all(scale: Scale) -> Vec<Job> {
    let (total, small_uploads) = match scale {
        Scale::Full => (1024 * MIB, 125),
        Scale::Quick => (256 * MIB, 32),
    };
    let one = Workload {
        name: "one",
        streams: 1,
        uploads: 1,
        bytes: total,
        unit: Unit::Bytes,
        lineup: &PROCESS,
    };
    let eight = Workload {
        name: "eight",
        streams: 8,
        bytes: total / 8,
        ..one
    };
    let small = Workload {
        name: "small",
        streams: 16,
        uploads: small_uploads,
        bytes: MIB / 16,
        unit: Unit::Uploads,
        ..one
    };
    let power_one = Workload {
        name: "power-one",
        lineup: &POWER,
        ..one
    };
    let mut jobs: Vec<_> = [one, eight, small, power_one]
        .map(Job::Uploads)
        .into_iter()
        .collect();
    for shared in [true, false] {
        jobs.push(Job::Acks(flow(total, shared)));
    }
    for shared in [true, false] {
        jobs.push(Job::Acks(Flow {
            name: "process-small",
            lineup: &PROCESS_ACKS,
            ..flow(total, shared)
        }));
    }
    jobs.extend(besides(total).map(Job::Beside));
    jobs.push(Job::Flushes(counted()));
    jobs
}

/// Small chunks over 64 connections.
fn flow(total: u64, shared: bool) -> Flow {
    let chunk = MIB / 16;
    Flow {
        name: "power-small",
        connections: 64,
        uploads: if shared { 1 } else { 64 },
        chunk,
        acks: total / chunk,
        lineup: &POWER_ACKS,
    }
}

/// Small chunks and large ones, over few connections: the wait is to be the disk's.
fn besides(total: u64) -> [Beside; 2] {
    [MIB / 16, Workload::CHUNK].map(|chunk| Beside {
        flow: Flow {
            name: "power-beside",
            connections: 4,
            uploads: 4,
            chunk,
            // More than a disk takes in the time there is.
            acks: 4 * total / chunk,
            lineup: &POWER_ACKS,
        },
        mib: 2 * total / MIB,
    })
}

/// Enough of each kind to see what is shared.
fn counted() -> Vec<Flow> {
    let small = |shared| Flow {
        name: "power-flushes",
        acks: 2048,
        ..flow(0, shared)
    };
    let one = Flow {
        connections: 1,
        chunk: Workload::CHUNK,
        acks: 64,
        ..small(true)
    };
    vec![one, small(true), small(false)]
}
