//! Firmware as the linker leaves it: of an ELF file of 32 bits only what a page of its specification says.

/// The kind of section that holds symbols.
const SYMBOLS: usize = 2;
/// Bytes of a symbol's entry.
const SYMBOL_LEN: usize = 16;

/// A file that was read whole.
pub(crate) struct Elf<'a> {
    bytes: &'a [u8],
}

/// A part of the file.
#[derive(Clone, Copy)]
struct Section<'a> {
    name: &'a str,
    kind: usize,
    offset: usize,
    size: usize,
    /// Of a table of symbols: the section that has their names.
    link: usize,
}

impl<'a> Elf<'a> {
    /// `None` when it is another kind of file.
    pub(crate) fn new(bytes: &'a [u8]) -> Option<Self> {
        (bytes.get(..6)? == b"\x7fELF\x01\x01").then_some(Self { bytes })
    }

    /// Bytes of all sections with this name.
    pub(crate) fn size_of(&self, name: &str) -> usize {
        self.sections().filter(|section| section.name == name).map(|section| section.size).sum()
    }

    /// The names of all symbols; none when they were stripped.
    pub(crate) fn symbols(&self) -> Vec<&'a str> {
        let Some(table) = self.sections().find(|section| section.kind == SYMBOLS) else { return Vec::new() };
        let Some(names) = self.sections().nth(table.link) else { return Vec::new() };
        let entries = (table.offset..table.offset + table.size).step_by(SYMBOL_LEN);
        entries
            .filter_map(|at| self.text(names.offset + self.word(at)?))
            .filter(|name| !name.is_empty())
            .collect()
    }

    fn sections(&self) -> impl Iterator<Item = Section<'a>> {
        let count = self.half(48).unwrap_or_default();
        (0..count).filter_map(|index| self.section(index))
    }

    fn section(&self, index: usize) -> Option<Section<'a>> {
        let header = |index: usize| Some(self.word(32)? + index * self.half(46)?);
        let names = self.word(header(self.half(50)?)? + 16)?;
        let at = header(index)?;
        Some(Section {
            name: self.text(names + self.word(at)?)?,
            kind: self.word(at + 4)?,
            offset: self.word(at + 16)?,
            size: self.word(at + 20)?,
            link: self.word(at + 24)?,
        })
    }

    fn half(&self, at: usize) -> Option<usize> {
        Some(u16::from_le_bytes(*self.bytes.get(at..)?.first_chunk()?).into())
    }

    fn word(&self, at: usize) -> Option<usize> {
        Some(u32::from_le_bytes(*self.bytes.get(at..)?.first_chunk()?) as usize)
    }

    /// The text that begins there, up to its zero.
    fn text(&self, at: usize) -> Option<&'a str> {
        let bytes = self.bytes.get(at..)?.split(|&byte| byte == 0).next()?;
        std::str::from_utf8(bytes).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A file of two sections beside the one without a name: names, and four bytes called `.text`.
    fn small() -> Vec<u8> {
        const NAMES: &[u8] = b"\0.text\0.names\0";
        let mut file = vec![0; 52];
        file[..6].copy_from_slice(b"\x7fELF\x01\x01");
        let names = file.len() as u32;
        file.extend_from_slice(NAMES);
        let table = file.len() as u32;
        file[32..36].copy_from_slice(&table.to_le_bytes());
        file[46] = 40;
        file[48] = 3;
        file[50] = 2;
        for (name, kind, offset, size) in [(0, 0, 0, 0), (1, 1, names, 4), (7, 3, names, NAMES.len() as u32)]
        {
            for word in [name, kind, 0, 0, offset, size, 0, 0, 0, 0_u32] {
                file.extend_from_slice(&word.to_le_bytes());
            }
        }
        file
    }

    #[test]
    fn sections_are_found_by_name() {
        let file = small();
        let elf = Elf::new(&file).expect("an ELF file");
        assert_eq!((elf.size_of(".text"), elf.size_of(".bss")), (4, 0));
        assert!(elf.symbols().is_empty());
    }

    #[test]
    fn a_file_that_is_cut_anywhere_is_read_without_panic() {
        let file = small();
        for len in 0..file.len() {
            if let Some(elf) = Elf::new(&file[..len]) {
                elf.symbols();
                elf.size_of(".text");
            }
        }
        assert!(Elf::new(b"MZ").is_none());
    }
}
