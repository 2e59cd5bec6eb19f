use std::collections::{HashMap, VecDeque};
use std::path::Path;

use sha2::{Digest as _, Sha256};

use super::candidate::{Digest, Facts, FileId, Stamp, Traits};

/// Most files known at once, which bounds the memory: further ones are left alone.
const FILES_MAX: usize = 1_000_000;

/// What is known of the files, and which are to be worked on.
#[derive(Debug, Default)]
pub struct Index {
    files: HashMap<FileId, Entry>,
    /// Of every size on a filesystem the one file that has it, or `None` when there are several:
    /// a file that is alone with its size is never read.
    sizes: HashMap<(u64, u64), Option<FileId>>,
    /// Of each kind of files that may share their space the one that the others share.
    keepers: HashMap<Key, FileId>,
    queue: VecDeque<FileId>,
    /// Counts the scans.
    generation: u32,
    is_full: bool,
}

/// What is known of a file.
#[derive(Debug)]
pub struct Entry {
    pub stamp: Stamp,
    pub traits: Traits,
    pub digest: Option<Digest>,
    /// Whether it shares its space with the others that say so and have the same content.
    pub shared: bool,
    /// Whether its bytes are known to be on the disk.
    pub durable: bool,
    /// Below the directory, all seen with this stamp, which any change of them changes as well.
    pub names: Vec<Box<Path>>,
    state: State,
    generation: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// Nothing is to be done until it changes.
    Settled,
    Queued,
    /// To be queued when it is seen again.
    Waiting,
}

/// Files with the same key may share their space.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Key([u8; 16]);

impl Key {
    /// The key of what has all these properties.
    pub fn new(dev: u64, size: u64, digest: &Digest, more: Option<(Traits, Option<i64>)>) -> Self {
        let mut state = Sha256::new();
        state.update(dev.to_le_bytes());
        state.update(size.to_le_bytes());
        state.update(digest);
        if let Some((traits, modified)) = more {
            state.update(traits.mode.to_le_bytes());
            state.update(traits.uid.to_le_bytes());
            state.update(traits.gid.to_le_bytes());
            state.update(modified.map_or([0; 8], i64::to_le_bytes));
        }
        let mut key = [0; 16];
        key.copy_from_slice(&state.finalize()[..16]);
        Self(key)
    }
}

impl Index {
    /// Takes note of a file that is quiet. `known` answers what an earlier process computed of it.
    pub fn see(
        &mut self,
        path: &Path,
        facts: &Facts,
        known: impl FnOnce() -> Option<(Digest, bool)>,
    ) {
        let generation = self.generation;
        if let Some(entry) = self.files.get_mut(&facts.id)
            && entry.stamp == facts.stamp
        {
            entry.name(path, generation);
            if entry.state == State::Waiting {
                self.queue(facts.id);
            }
            return;
        }
        if self.files.len() >= FILES_MAX && !self.files.contains_key(&facts.id) {
            if !std::mem::replace(&mut self.is_full, true) {
                tracing::warn!("deduplication knows {FILES_MAX} files and leaves more alone");
            }
            return;
        }
        let (digest, shared) = known().unzip();
        let entry = Entry {
            stamp: facts.stamp,
            traits: facts.traits,
            digest,
            shared: shared.unwrap_or(false),
            durable: false,
            names: vec![path.into()],
            state: State::Settled,
            generation,
        };
        self.files.insert(facts.id, entry);
        self.crowd(facts.id, facts.stamp.size);
    }

    /// Whether a file is known as it is now.
    pub fn knows(&self, facts: &Facts) -> bool {
        let entry = self.files.get(&facts.id);
        entry.is_some_and(|entry| entry.stamp == facts.stamp)
    }

    /// Queues a new file when it is not alone with its size.
    fn crowd(&mut self, id: FileId, size: u64) {
        let only = self.sizes.entry((id.dev, size)).or_insert(Some(id));
        match *only {
            Some(only) if only == id => {}
            Some(other) => {
                *only = None;
                self.queue(other);
                self.queue(id);
            }
            None => self.queue(id),
        }
    }

    fn queue(&mut self, id: FileId) {
        if let Some(entry) = self.files.get_mut(&id)
            && entry.state != State::Queued
        {
            entry.state = State::Queued;
            self.queue.push_back(id);
        }
    }

    /// The next file to work on.
    pub fn next(&mut self) -> Option<FileId> {
        while let Some(id) = self.queue.pop_front() {
            if let Some(entry) = self.files.get_mut(&id) {
                entry.state = State::Settled;
                return Some(id);
            }
        }
        None
    }

    pub fn is_idle(&self) -> bool {
        self.queue.is_empty()
    }

    /// Has a file queued again when it is seen again.
    pub fn wait(&mut self, id: FileId) {
        if let Some(entry) = self.files.get_mut(&id) {
            entry.state = State::Waiting;
        }
    }

    pub fn get(&self, id: FileId) -> Option<&Entry> {
        self.files.get(&id)
    }

    pub fn get_mut(&mut self, id: FileId) -> Option<&mut Entry> {
        self.files.get_mut(&id)
    }

    /// Forgets a name that is gone, and the file with its last name.
    pub fn forget(&mut self, id: FileId, path: &Path) {
        if let Some(entry) = self.files.get_mut(&id) {
            entry.names.retain(|name| **name != *path);
            if entry.names.is_empty() {
                self.files.remove(&id);
            }
        }
    }

    /// A name has moved from one file to another; what they are now. The first one is worked on
    /// again when it has more names.
    pub fn moved(&mut self, path: &Path, from: &Facts, to: &Facts) {
        self.forget(from.id, path);
        if let Some(entry) = self.files.get_mut(&from.id) {
            entry.stamp = from.stamp;
            self.queue(from.id);
        }
        let generation = self.generation;
        if let Some(entry) = self.files.get_mut(&to.id) {
            entry.name(path, generation);
            entry.stamp = to.stamp;
        }
    }

    /// The file that those with `key` share: `id`, unless there is one.
    pub fn keeper(&mut self, key: Key, id: FileId) -> FileId {
        *self.keepers.entry(key).or_insert(id)
    }

    /// From now on `id` is what those with `key` share.
    pub fn keep(&mut self, key: Key, id: FileId) {
        self.keepers.insert(key, id);
    }

    /// Before everything is seen again.
    pub fn begin(&mut self) {
        self.generation += 1;
    }

    /// After everything was seen: forgets what was not.
    pub fn end(&mut self) {
        let generation = self.generation;
        self.files.retain(|_, entry| entry.generation == generation);
        self.files.shrink_to_fit();
        self.is_full &= self.files.len() >= FILES_MAX;
        let files = &self.files;
        self.keepers.retain(|_, id| files.contains_key(id));
        self.sizes = HashMap::new();
        for (id, entry) in files {
            let only = self.sizes.entry((id.dev, entry.stamp.size));
            only.and_modify(|only| *only = None).or_insert(Some(*id));
        }
    }

    /// How many files are known.
    pub fn len(&self) -> usize {
        self.files.len()
    }

    /// What was computed.
    pub fn computed(&self) -> impl Iterator<Item = (FileId, Stamp, Digest, bool)> {
        let files = self.files.iter();
        files.filter_map(|(id, entry)| Some((*id, entry.stamp, entry.digest?, entry.shared)))
    }
}

impl Entry {
    fn name(&mut self, path: &Path, generation: u32) {
        // Of names from an earlier scan it is not known whether they are still there.
        if std::mem::replace(&mut self.generation, generation) != generation {
            self.names.clear();
        }
        if !self.names.iter().any(|name| **name == *path) {
            self.names.push(path.into());
        }
    }
}
