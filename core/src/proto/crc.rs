//! CRC-32C (Castagnoli), by a table of 256 words that lives in flash.

const TABLE: [u32; 256] = {
    let mut table = [0; 256];
    let mut i = 0;
    while i < 256 {
        let mut crc = i as u32;
        let mut bit = 0;
        while bit < 8 {
            crc = if crc & 1 == 1 { (crc >> 1) ^ 0x82f6_3b78 } else { crc >> 1 };
            bit += 1;
        }
        table[i] = crc;
        i += 1;
    }
    table
};

/// The checksum of `bytes`, seeded: frames of another session never pass.
pub fn crc32c(seed: u32, bytes: &[u8]) -> u32 {
    !crc32c_append(!seed, bytes)
}

/// Continues a raw remainder over more bytes; complement it at both ends.
pub fn crc32c_append(mut crc: u32, bytes: &[u8]) -> u32 {
    for &byte in bytes {
        crc = (crc >> 8) ^ TABLE[((crc ^ u32::from(byte)) & 0xff) as usize];
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
}
