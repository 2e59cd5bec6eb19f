use crate::workload::{MIB, Workload};

/// Random bytes that all uploads are cut from.
pub(crate) struct Payload(Vec<u8>);

impl Payload {
    pub(crate) fn new() -> Self {
        let len = usize::try_from(Workload::CHUNK + 3 * MIB).unwrap_or(usize::MAX);
        let mut bytes = Vec::with_capacity(len);
        // xorshift64: not random to anybody who looks closely, but to a checksum and a disk.
        let mut state: u64 = 0x9e37_79b9_7f4a_7c15;
        while bytes.len() < len {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            bytes.extend_from_slice(&state.to_le_bytes());
        }
        Self(bytes)
    }

    /// `len` bytes, others for each `number`.
    pub(crate) fn cut(&self, number: u64, len: u64) -> &[u8] {
        let len = usize::try_from(len).unwrap_or(usize::MAX).min(self.0.len());
        let room = (self.0.len() - len) as u64 + 1;
        // A prime: neighbours begin far from each other and on no page's boundary.
        let start = usize::try_from(number.wrapping_mul(104_729) % room).unwrap_or(0);
        &self.0[start..start + len]
    }
}
