//! A slow disk must not slow the rest of the app down.

use std::fs::File;
use std::io::{self, BufRead as _, BufReader, Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use steadfast_tests::data;
use steadfast_tests::http::Request;
use steadfast_tests::server::Server;
use steadfast_tests::upload::Client;
use tempfile::TempDir;

use crate::{bulk, machine};

const UPLOADS: usize = 8;
const CHUNK: usize = 5 << 20;
const FILE: usize = 3 * CHUNK;

/// Bytes per second that the disk takes.
const RATE: u64 = 16 << 20;

/// One request is due as often as this.
const ASK_EVERY: Duration = Duration::from_millis(20);

/// Requests that are judged together. A machine that is busy with something else may spoil a round;
/// an app that stands still spoils them all.
const ROUND: usize = 500;
const ROUNDS_MAX: usize = 3;
const P99_MAX: Duration = Duration::from_millis(50);

/// A write that takes longer has waited for the disk.
const BLOCKED: Duration = Duration::from_millis(100);

/// Makes a filesystem in the file $1 and mounts it on $2, writes no faster than $3 bytes a
/// second; undoes it all when its input ends, which also happens when the test is killed.
///
/// The block layer holds back what goes to the loop device, in the root group, where the kernel's
/// own writing belongs; and little may wait in memory, or a writer would notice nothing.
const MOUNT: &str = r#"
set -eu
trap '' INT TERM HUP
image=$1 mounted=$2 rate=$3
throttle=/sys/fs/cgroup/blkio/blkio.throttle.write_bps_device
[ -w "$throttle" ] || { echo "no blkio group here that throttles writes"; exit 1; }
mkfs.ext4 -q -F "$image"
loop=$(losetup --find --show "$image")
number=$(cat "/sys/block/${loop#/dev/}/dev")
memory=/sys/class/bdi/$number
undo() {
    set +e
    echo "$number 0" > "$throttle"
    echo 0 > "$memory/strict_limit"
    echo 1000000 > "$memory/max_ratio_fine"
    umount "$mounted" || umount -l "$mounted"
    losetup -d "$loop"
}
trap undo EXIT
mount -o noatime "$loop" "$mounted"
[ -w "$memory/strict_limit" ] || { echo "this kernel has no limit for one disk"; exit 1; }
echo 1 > "$memory/strict_limit"
echo "$rate" > "$memory/max_bytes"
echo "$number $rate" > "$throttle"
echo ready
read -r _ || true
"#;

/// A filesystem on a slow disk; undone when dropped.
struct SlowDisk {
    dir: TempDir,
    guardian: Child,
    hold: Option<ChildStdin>,
}

impl SlowDisk {
    /// # Errors
    /// Why there can be none here.
    fn mount(size: u64, rate: u64) -> Result<Self, String> {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let (image, mounted) = (dir.path().join("image"), dir.path().join("disk"));
        File::create(&image)
            .and_then(|file| file.set_len(size))
            .expect("a sparse file");
        std::fs::create_dir(&mounted).expect("a directory");
        let mut command = Command::new("bash");
        command
            .args(["-c", MOUNT, "slow-disk"])
            .args([&image, &mounted])
            .arg(rate.to_string());
        command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let mut guardian = command.spawn().map_err(|error| format!("bash: {error}"))?;
        let hold = guardian.stdin.take();
        let mut line = String::new();
        let mut said = BufReader::new(guardian.stdout.take().expect("a pipe"));
        said.read_line(&mut line)
            .map_err(|error| error.to_string())?;
        // From here on dropping it undoes what was done.
        let mut disk = Self {
            dir,
            guardian,
            hold,
        };
        if line.trim_end() == "ready" {
            return Ok(disk);
        }
        disk.hold = None;
        if let Some(mut errors) = disk.guardian.stderr.take() {
            let _ = errors.read_to_string(&mut line);
        }
        Err(line.replace('\n', " "))
    }

    fn path(&self) -> PathBuf {
        self.dir.path().join("disk")
    }
}

impl Drop for SlowDisk {
    fn drop(&mut self) {
        self.hold = None;
        let _ = self.guardian.wait();
    }
}

/// Writes until one write has to wait for the disk; none if none does.
fn blocked_writer(dir: &Path) -> io::Result<Option<Duration>> {
    let (path, piece) = (dir.join("probe"), data::random(1, 64 * 1024));
    let mut file = File::create(&path)?;
    let mut longest = None;
    for _ in 0..1024 {
        let begun = Instant::now();
        file.write_all(&piece)?;
        if begun.elapsed() > BLOCKED {
            longest = Some(begun.elapsed());
            break;
        }
    }
    std::fs::remove_file(path)?;
    Ok(longest)
}

/// A request that is due at fixed times, and how long its answers took.
struct Asker {
    client: Client,
    request: Request,
    status: u16,
}

impl Asker {
    fn new(client: Client, target: &str, status: u16) -> Self {
        Self {
            client,
            request: Request::new("GET", target),
            status,
        }
    }

    /// Asks until `stop` is closed, and says when it has asked often enough. Every time counts from
    /// when the request was due: a server that stands still delays all that fall into that time.
    fn ask(&self, enough: &AtomicBool, stop: &mpsc::Receiver<()>) -> Vec<Duration> {
        let (mut took, mut due) = (Vec::new(), Instant::now());
        let _in_any_case = Raise(enough);
        loop {
            let _ = self.request.send(self.client.addr()).status_is(self.status);
            took.push(due.elapsed());
            let rounds = took.chunks_exact(ROUND);
            if rounds.len() >= ROUNDS_MAX || rounds.map(quantiles).any(|round| round.p99 <= P99_MAX)
            {
                enough.store(true, Ordering::Relaxed);
            }
            due += ASK_EVERY;
            let pause = due.saturating_duration_since(Instant::now());
            if stop.recv_timeout(pause) != Err(mpsc::RecvTimeoutError::Timeout) {
                return took;
            }
        }
    }
}

/// Raises a flag when it is dropped: nobody waits for a thread that has failed.
struct Raise<'a>(&'a AtomicBool);

impl Drop for Raise<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// How long the middle one of some requests took, the one that 99 of 100 stay below, and the longest.
#[derive(Debug)]
struct Quantiles {
    p50: Duration,
    p99: Duration,
    max: Duration,
}

fn quantiles(took: &[Duration]) -> Quantiles {
    let mut took = took.to_vec();
    took.sort();
    let last = took.len() - 1;
    Quantiles {
        p50: took[last / 2],
        p99: took[last * 99 / 100],
        max: took[last],
    }
}

/// The best whole round; all are printed.
fn best_round(what: &str, took: &[Duration]) -> Quantiles {
    let rounds = took.chunks_exact(ROUND).map(quantiles);
    let rounds = rounds.inspect(|round| {
        let Quantiles { p50, p99, max } = round;
        machine::report(&format!(
            "{what}: p50 {p50:.1?}, p99 {p99:.1?}, max {max:.1?} of {ROUND} requests"
        ));
    });
    rounds.min_by_key(|round| round.p99).expect("a whole round")
}

/// Uploads file after file until the asker has `enough`.
fn upload(client: Client, seed: u64, enough: &AtomicBool) {
    let file = data::random(seed, FILE);
    let sha256 = data::sha256_hex(&file);
    for round in 0.. {
        let (session, last) = client.upload(&format!("slow-{seed}-{round}.bin"), &file);
        assert!(
            [200, 202].contains(&last.status),
            "{}",
            String::from_utf8_lossy(&last.body)
        );
        assert_eq!(bulk::delivered(client, &session)["sha256"], sha256);
        if enough.load(Ordering::Relaxed) {
            return;
        }
    }
}

/// Starts a server whose state and uploads both lie on `disk`.
fn server_on(disk: &Path) -> Server {
    let state = disk.join("state");
    let server = Server::start(&format!(
        "[uploads]\nchunk_size = \"5MB\"\nstate_dir = {state:?}"
    ));
    let uploads = disk.join("uploads");
    std::fs::create_dir(&uploads).expect("a directory");
    std::os::unix::fs::symlink(uploads, server.uploads_dir()).expect("a link");
    server
}

#[test]
fn the_app_answers_while_the_disk_is_slow() {
    let test = "the_app_answers_while_the_disk_is_slow";
    let _turn = machine::alone();
    let disk = match SlowDisk::mount(4 << 30, RATE) {
        Ok(disk) => disk,
        Err(why) => return machine::report(&format!("skipped {test}: {why}")),
    };
    let blocked = blocked_writer(&disk.path()).expect("the disk can be written");
    let blocked = blocked.expect("this disk makes writers wait");
    machine::report(&format!("{test}: a write waits {blocked:.1?} for the disk"));

    let server = server_on(&disk.path());
    let client = server.client();
    // The app refuses the one from memory; the other needs the disk itself and is only measured.
    let [memory, files] = [
        Asker::new(client, "/nothing", 404),
        Asker::new(client, "/files", 200),
    ];
    let enough = AtomicBool::new(false);
    let ((stop, stopped), (stop_too, stopped_too)) = (mpsc::channel(), mpsc::channel());
    let [memory, files] = std::thread::scope(|scope| {
        let memory = scope.spawn(|| {
            let stopped = stopped;
            memory.ask(&enough, &stopped)
        });
        let files = scope.spawn(|| {
            let stopped = stopped_too;
            files.ask(&AtomicBool::default(), &stopped)
        });
        let uploads: Vec<_> = (0..UPLOADS as u64)
            .map(|seed| {
                scope.spawn({
                    let enough = &enough;
                    move || upload(client, seed, enough)
                })
            })
            .collect();
        uploads
            .into_iter()
            .for_each(|upload| upload.join().expect("no thread panics"));
        drop((stop, stop_too));
        [memory, files].map(|asker| asker.join().expect("no thread panics"))
    });
    let _ = best_round("GET /files on the slow disk", &files);
    let best = best_round("GET of the app, beside uploads to a slow disk", &memory);
    assert!(
        best.p99 <= P99_MAX,
        "the app stands still while it waits for the disk: {best:?}"
    );
}
