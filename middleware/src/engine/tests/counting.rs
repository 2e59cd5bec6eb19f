//! Counts and reservations against what the logs say, in every order of events.

use std::time::Duration;

use proptest::collection::vec;
use proptest::prelude::*;

use super::rig::{CHUNK, Kind, Rig, chunk};
use crate::upload::tests::sample;
use crate::upload::{Owner, Record, SessionId};

const OWNERS: [&str; 2] = ["alice", "bob"];
const HOUR: Duration = Duration::from_secs(3_600);

#[derive(Clone, Debug)]
enum Step {
    Create(usize, u64),
    Repeat(usize),
    Send(usize, u64),
    Cancel(usize),
    Answer(u16),
    Pass(u64),
    Sweep,
    Restart,
}

fn any_step() -> impl Strategy<Value = Step> {
    let upload = || 0..8_usize;
    prop_oneof![
        3 => (0..OWNERS.len(), 0..4_u64).prop_map(|(owner, chunks)| Step::Create(owner, chunks)),
        1 => upload().prop_map(Step::Repeat),
        6 => (upload(), 0..4_u64).prop_map(|(upload, number)| Step::Send(upload, number)),
        1 => upload().prop_map(Step::Cancel),
        1 => prop_oneof![Just(422), Just(503)].prop_map(Step::Answer),
        2 => prop_oneof![0..30_u64, Just(26 * 60)].prop_map(Step::Pass),
        1 => Just(Step::Sweep),
        1 => Just(Step::Restart),
    ]
}

struct Told {
    id: SessionId,
    owner: &'static str,
    total: u64,
}

async fn take(rig: &mut Rig, told: &mut Vec<Told>, step: Step) {
    match step {
        Step::Create(owner, chunks) => {
            let (owner, total) = (OWNERS[owner], chunks * CHUNK);
            let id = sample::id(u8::try_from(told.len()).unwrap());
            let create = rig.create_as(id.clone(), true, sample::declaration(total), owner);
            create.await.unwrap();
            told.push(Told { id, owner, total });
        }
        Step::Repeat(number) => {
            if let Some(Told { id, owner, total }) = told.get(number) {
                let declaration = sample::declaration(*total);
                let _ = rig.create_as(id.clone(), true, declaration, owner).await;
            }
        }
        Step::Send(upload, number) => {
            if let Some(Told { id, total, .. }) = told.get(upload)
                && number * CHUNK < *total
            {
                let _ = rig.send(id, number, &chunk(*total, number)).await;
            }
        }
        Step::Cancel(upload) => {
            if let Some(told) = told.get(upload) {
                let _ = rig.engine.cancel(&told.id).await;
            }
        }
        Step::Answer(status) => rig.handler.will_answer([status]),
        Step::Pass(minutes) => rig.pass(Duration::from_secs(minutes * 60)),
        Step::Sweep => rig.engine.sweep().await,
        Step::Restart => {
            rig.engine.drain().await;
            *rig = rig.again(|_| {});
            rig.engine.recover(None).await;
            rig.engine.remove_orphans().await.unwrap();
        }
    }
}

/// All logs of unfinished uploads.
async fn unfinished(rig: &Rig) -> Vec<Record> {
    let mut records = Vec::new();
    for listed in rig.store().list().await.unwrap() {
        records.extend(rig.store().read(listed.key).await.unwrap());
    }
    records.retain(|record| record.ended.is_none());
    records
}

async fn assert_counts(rig: &Rig, after: &Step) {
    let records = unfinished(rig).await;
    let budget = &rig.engine.budget;
    assert_eq!(budget.sessions(), records.len(), "after {after:?}");
    let now = rig.wall();
    let expected = |owner: Option<&str>| -> u128 {
        let held = records.iter().filter(|record| {
            let is_owners = owner.is_none_or(|owner| record.header.owner.0 == owner);
            is_owners && now.since(record.last_activity) < HOUR
        });
        held.map(|r| u128::from(r.header.declaration.total - r.ranges.bytes()))
            .sum()
    };
    assert_eq!(
        budget.expected(None, now),
        expected(None),
        "after {after:?}"
    );
    for owner in OWNERS {
        let (of, name) = (Owner(owner.to_owned()), Some(owner));
        assert_eq!(
            budget.expected(Some(&of), now),
            expected(name),
            "after {after:?}"
        );
    }
}

async fn live(kind: Kind, steps: Vec<Step>) {
    let (mut rig, mut told) = (Rig::new(kind), Vec::new());
    for step in steps {
        take(&mut rig, &mut told, step.clone()).await;
        for Told { id, .. } in &told {
            rig.settled_or_resting(id).await;
        }
        assert_counts(&rig, &step).await;
    }
    rig.engine.drain().await;
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn counts_are_what_the_logs_say(steps in vec(any_step(), 0..40)) {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .start_paused(true)
            .build()
            .unwrap();
        for kind in [Kind::Memory, Kind::Disk] {
            runtime.block_on(live(kind, steps.clone()));
        }
    }
}
