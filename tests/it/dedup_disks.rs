//! Shared space on filesystems of their own: how much it is, and that nothing is lost for it.

use std::fs::{self, File};
use std::io::{Read as _, Seek as _, SeekFrom, Write as _};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime};

use steadfast_tests::data;
use steadfast_tests::server::Server;
use steadfast_tests::torture::disk::{Disk, Medium};
use steadfast_tests::torture::rng::Rng;
use steadfast_tests::{tree, wait};

use crate::machine;

const FILES: usize = 1000;
/// So many files of those differ from all others.
const CONTENTS: usize = 400;
const SIZE: usize = 256 << 10;
const DISK: u64 = 2 << 30;
const KILLS: u32 = 50;
/// The longest life of a server that will be killed, in milliseconds.
const LIFE_MAX: usize = 150;
/// The same where the work has fallen behind.
const LIFE_MOST: usize = 600;
/// What the filesystem may need for itself.
const SLACK: u64 = 12 << 20;
const LIMIT: Duration = Duration::from_secs(120);

/// A thousand files, and what each of them must always be.
struct Files {
    dir: PathBuf,
    contents: Vec<Vec<u8>>,
    names: Vec<PathBuf>,
}

/// What a user sees of a file beside its content.
type Look = (u32, u32, u64, SystemTime);

impl Files {
    /// Fills `dir`. Where files become one by links, copies have the mode and the time of the first.
    fn make(dir: PathBuf, by_links: bool) -> Self {
        let contents = (0..CONTENTS as u64).map(|seed| data::random(seed + 1, SIZE));
        let contents: Vec<_> = contents.collect();
        let names = (0..FILES).map(|at| format!("sub {}/file {at}", at % 7).into());
        let names: Vec<PathBuf> = names.collect();
        for (at, name) in names.iter().enumerate() {
            let path = dir.join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            let mut file = File::create(&path).unwrap();
            file.write_all(&contents[at % CONTENTS]).unwrap();
            let kind = if by_links { at % CONTENTS } else { at } as u64;
            let mode = if kind.is_multiple_of(3) { 0o640 } else { 0o444 };
            file.set_permissions(fs::Permissions::from_mode(mode))
                .unwrap();
            let time = SystemTime::UNIX_EPOCH + Duration::from_nanos(1_700_000_000_000_000_001);
            file.set_modified(time + Duration::from_secs(kind)).unwrap();
        }
        // A file that has changed within 5 s is not touched.
        let last = fs::metadata(dir.join(&names[FILES - 1])).unwrap();
        let changed = SystemTime::UNIX_EPOCH + Duration::from_secs(last.ctime().unsigned_abs());
        wait::until("the files are quiet", LIMIT, || {
            changed
                .elapsed()
                .is_ok_and(|age| age > Duration::from_secs(7))
        });
        Self {
            dir,
            contents,
            names,
        }
    }

    fn looks(&self) -> Vec<Look> {
        let look = |name: &PathBuf| {
            let metadata = fs::symlink_metadata(self.dir.join(name)).expect("the name is there");
            let modified = metadata.modified().unwrap();
            (metadata.mode(), metadata.uid(), metadata.len(), modified)
        };
        self.names.iter().map(look).collect()
    }

    /// Reads all bytes of all files.
    fn check_all(&self) {
        for (at, name) in self.names.iter().enumerate() {
            let read = fs::read(self.dir.join(name)).expect("every name can be read");
            assert!(read == self.contents[at % CONTENTS], "{}", name.display());
        }
        let count = tree::list(&self.dir)
            .iter()
            .filter(|entry| !entry.is_dir)
            .count();
        assert_eq!(count, FILES, "there are no others");
    }

    /// Reads a page of each file over and over, until `enough`; answers how many.
    fn poll(&self, enough: &AtomicBool) -> u64 {
        const PAGE: usize = 4096;
        let mut reads = 0;
        let mut page = [0; PAGE];
        while !enough.load(Ordering::Relaxed) {
            for (at, name) in self.names.iter().enumerate() {
                let mut file = File::open(self.dir.join(name)).expect("every name can be read");
                let from = (usize::try_from(reads).unwrap() * PAGE) % SIZE;
                file.seek(SeekFrom::Start(from as u64)).unwrap();
                file.read_exact(&mut page).unwrap();
                let expected = &self.contents[at % CONTENTS][from..from + PAGE];
                assert!(page == expected, "{} at {from}", name.display());
                reads += 1;
            }
        }
        reads
    }

    /// How many inodes the names are of.
    fn inodes(&self) -> usize {
        let ino = |name| fs::symlink_metadata(self.dir.join(name)).unwrap().ino();
        let mut all: Vec<_> = self.names.iter().map(ino).collect();
        all.sort_unstable();
        all.dedup();
        all.len()
    }
}

/// Bytes in use on a filesystem, with all that waits written.
fn used(dir: &Path) -> u64 {
    rustix::fs::syncfs(File::open(dir).unwrap()).unwrap();
    let stat = rustix::fs::statvfs(dir).unwrap();
    (stat.f_blocks - stat.f_bfree) * stat.f_frsize
}

fn config(method: &str, disk: &Path) -> String {
    format!(
        "[uploads]\nstate_dir = {:?}\n[logging]\nlevel = \"steadfast=debug\"\n\
         [deduplication]\nmethod = \"{method}\"\ndirectory = {:?}",
        disk.join("state"),
        disk.join("files")
    )
}

fn mount(test: &str, medium: Medium) -> Option<Disk> {
    let disk = Disk::mount(medium, DISK);
    disk.map_err(|why| machine::report(&format!("skipped {test}: {why}")))
        .ok()
}

/// How far the work has come.
struct Progress {
    dir: PathBuf,
    /// Bytes in use before, and in the end.
    before: u64,
    end: u64,
}

impl Progress {
    /// From 0 to 1.
    fn now(&self) -> f64 {
        let saved = self.before.saturating_sub(used(&self.dir));
        saved as f64 / (self.before - self.end) as f64
    }

    /// Lets the server work for a moment, again and again, and kills it each time; so early that
    /// there is work left for the next time. Answers how far it has come.
    fn kill_often(&self, server: &mut Server, seed: u64) -> f64 {
        let mut random = Rng::new(seed);
        let mut life = LIFE_MAX;
        for kill in 1..=KILLS {
            server.restart();
            let (now, due) = (self.now(), 0.8 * f64::from(kill) / f64::from(KILLS));
            if now < due {
                let end = Instant::now() + random.millis(0..=life);
                wait::until("its time is over", LIMIT, || Instant::now() >= end);
            }
            server.kill9();
            // A machine that is busy with something else needs more of it.
            life = if now < due / 2.0 {
                life * 3 / 2
            } else {
                LIFE_MAX
            };
            life = life.min(LIFE_MOST);
        }
        self.now()
    }
}

/// A thousand files of which 600 are copies under other names: the space of 400 is used in the end,
/// every name can be read all the time, and 50 kills in between lose nothing.
fn shares(test: &str, medium: Medium, method: &str) {
    let Some(disk) = mount(test, medium) else {
        return;
    };
    let _turn = machine::alone();
    let root = disk.path();
    let empty = used(&root);
    let files = Files::make(root.join("files"), method == "hardlink");
    let before = used(&root);
    let looks = files.looks();
    let enough = AtomicBool::new(false);
    let reads = AtomicU64::new(0);
    let progress = Progress {
        dir: root.clone(),
        before,
        end: empty + (CONTENTS * SIZE) as u64,
    };
    let (mut after, mut halfway) = (0, 0.0);
    std::thread::scope(|scope| {
        let poller = scope.spawn(|| reads.store(files.poll(&enough), Ordering::Relaxed));
        let mut server = Server::start(&config(method, &root));
        server.kill9();
        halfway = progress.kill_often(&mut server, before);
        files.check_all();
        server.restart();
        wait::until("all is shared", LIMIT, || {
            let is_through = server.logs().contains("nothing left to do");
            is_through && (method == "reflink" || files.inodes() == CONTENTS)
        });
        after = used(&root);
        enough.store(true, Ordering::Relaxed);
        poller.join().expect("every name could be read");
        nothing_again(server, &files);
    });
    files.check_all();
    assert_eq!(files.looks(), looks, "nothing else has changed");
    let own = |bytes: u64| (bytes - empty) as f64 / SIZE as f64;
    machine::report(&format!(
        "{test}: {FILES} files take the space of {:.0}, in the end of {:.0}; {KILLS} kills on the first \
         {:.0} % of the way; {} reads in between",
        own(before),
        own(after),
        halfway * 100.0,
        reads.load(Ordering::Relaxed)
    ));
    assert!(before - empty >= (FILES * SIZE) as u64);
    assert!((0.1..0.95).contains(&halfway), "it was killed at work");
    assert!(after <= progress.end + SLACK);
    if method == "hardlink" {
        assert_eq!(files.inodes(), CONTENTS);
    } else {
        assert_eq!(files.inodes(), FILES);
    }
    let left = tree::list(&root.join("state/dedup"));
    assert!(
        left.iter()
            .all(|entry| entry.is_dir || entry.path == Path::new("digests"))
    );
}

/// A start later there is nothing to do, and no file is read.
fn nothing_again(mut server: Server, files: &Files) {
    let _ = server.terminate();
    server.restart();
    let limit = Duration::from_secs(30);
    wait::until("all was looked at", limit, || {
        server.logs().contains("nothing left to do")
    });
    let io = fs::read_to_string(format!("/proc/{}/io", server.pid())).unwrap();
    let read = io
        .lines()
        .find_map(|line| line.strip_prefix("rchar: "))
        .unwrap();
    let read: usize = read.parse().unwrap();
    assert!(
        read < 8 * SIZE,
        "{read} of {} bytes",
        files.names.len() * SIZE
    );
    assert!(!server.logs().contains("files share the space"), "again");
}

#[test]
fn links_on_ext4() {
    shares("links_on_ext4", Medium::Ext4, "hardlink");
}

#[test]
fn reflinks_on_btrfs() {
    shares("reflinks_on_btrfs", Medium::Btrfs, "reflink");
}

#[test]
fn reflinks_on_xfs() {
    shares("reflinks_on_xfs", Medium::Xfs, "reflink");
}

/// Where files share extents, a write to one of them is its own affair.
#[test]
fn a_shared_file_can_be_written() {
    let Some(disk) = mount("a_shared_file_can_be_written", Medium::Xfs) else {
        return;
    };
    let root = disk.path();
    let server = Server::start(&config("reflink", &root));
    let content = data::random(1, 4 * SIZE + 5);
    fs::create_dir(root.join("files")).unwrap();
    for name in ["a", "b"] {
        fs::write(root.join("files").join(name), &content).unwrap();
    }
    wait::until("they share their space", LIMIT, || {
        server.logs().contains("files share the space of others")
    });
    let b = File::options()
        .write(true)
        .open(root.join("files/b"))
        .unwrap();
    std::os::unix::fs::FileExt::write_all_at(&b, b"changed", 10).unwrap();
    b.sync_all().unwrap();
    assert!(fs::read(root.join("files/a")).unwrap() == content);
    let changed = fs::read(root.join("files/b")).unwrap();
    assert!(changed[10..17] == *b"changed" && changed[17..] == content[17..]);
}

#[test]
fn a_filesystem_without_reflinks_is_named_once_and_not_read() {
    let test = "a_filesystem_without_reflinks_is_named_once_and_not_read";
    let Some(disk) = mount(test, Medium::Ext4) else {
        return;
    };
    let root = disk.path();
    for number in 0..20 {
        let path = root.join("files").join(format!("{number}"));
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, vec![7; SIZE]).unwrap();
    }
    let server = Server::start(&config("reflink", &root));
    wait::until("it gives up", LIMIT, || {
        server.logs().contains("nothing left to do")
    });
    let logs = server.logs();
    assert_eq!(
        logs.matches("cannot share their space").count(),
        1,
        "{logs}"
    );
    assert!(logs.contains("method = \"hardlink\""), "{logs}");
    assert!(logs.contains("hashed=0"), "{logs}");
}
