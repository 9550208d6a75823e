//! CRC-32C (Castagnoli), by tables that live in flash: 1 KiB on a host, 64 bytes on a board,
//! where a byte more of a packet costs less than a KiB of flash.

/// Castagnoli's polynomial, reflected.
const POLYNOMIAL: u32 = 0x82f6_3b78;

/// The remainders of all numbers of so many bits.
const fn table<const N: usize>(bits: u32) -> [u32; N] {
    let mut table = [0; N];
    let mut i = 0;
    while i < N {
        let mut crc = i as u32;
        let mut bit = 0;
        while bit < bits {
            crc = if crc & 1 == 1 { (crc >> 1) ^ POLYNOMIAL } else { crc >> 1 };
            bit += 1;
        }
        table[i] = crc;
        i += 1;
    }
    table
}

/// The checksum of `bytes`, seeded: frames of another session never pass.
pub fn crc32c(seed: u32, bytes: &[u8]) -> u32 {
    !crc32c_append(!seed, bytes)
}

/// Continues a raw remainder over more bytes; complement it at both ends.
#[cfg_attr(not(feature = "std"), inline(never))]
pub fn crc32c_append(crc: u32, bytes: &[u8]) -> u32 {
    #[cfg(feature = "std")]
    return by_bytes(crc, bytes);
    #[cfg(not(feature = "std"))]
    by_nibbles(crc, bytes)
}

#[cfg(feature = "std")]
fn by_bytes(mut crc: u32, bytes: &[u8]) -> u32 {
    static TABLE: [u32; 256] = table(8);
    for &byte in bytes {
        crc = (crc >> 8) ^ TABLE[((crc ^ u32::from(byte)) & 0xff) as usize];
    }
    crc
}

#[cfg(any(test, not(feature = "std")))]
fn by_nibbles(mut crc: u32, bytes: &[u8]) -> u32 {
    static TABLE: [u32; 16] = table(4);
    for &byte in bytes {
        crc ^= u32::from(byte);
        crc = (crc >> 4) ^ TABLE[(crc & 0xf) as usize];
        crc = (crc >> 4) ^ TABLE[(crc & 0xf) as usize];
    }
    crc
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_published_check_value() {
        assert_eq!(crc32c(0, b"123456789"), 0xe306_9283);
    }

    #[test]
    fn another_seed_gives_another_checksum_for_every_body() {
        for len in 0..64 {
            let body = [0x5a; 64];
            assert_ne!(crc32c(1, &body[..len]), crc32c(2, &body[..len]));
        }
    }

    #[test]
    fn a_board_and_a_host_compute_the_same() {
        let bytes: [u8; 256] = core::array::from_fn(|i| (i * 37) as u8);
        for len in [0, 1, 2, 9, 255, 256] {
            assert_eq!(by_bytes(7, &bytes[..len]), by_nibbles(7, &bytes[..len]));
        }
    }
}
