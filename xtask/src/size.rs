//! `cargo xtask size`: flash and RAM of the smallest node, and of each kind of channel more.

use crate::command::{Result, root};
use crate::test::boards::{self, Toolchain};

pub(crate) const MANIFEST: &str = "examples/firmware/size/Cargo.toml";
const PACKAGE: &str = "netchan-firmware-size";

/// Features of the package, what they add, and to what.
const VARIANTS: [(&str, &str, &str); 7] = [
    ("", "echo node: one duplex channel", ""),
    ("second", "+ a channel of the same type", ""),
    ("second,third", "+ another one", "second"),
    ("other", "+ a duplex of another type", ""),
    ("method", "+ a method", ""),
    ("latest", "+ a latest value", ""),
    ("import", "+ an import", ""),
];

/// Bytes of the sections that count.
#[derive(Clone, Copy, Default)]
struct Sizes {
    text: i64,
    rodata: i64,
    data: i64,
    bss: i64,
}

impl Sizes {
    const fn flash(self) -> i64 {
        self.text + self.rodata + self.data
    }
}

pub(crate) fn run(_args: &[String]) -> Result {
    let toolchain = Toolchain::ready()?;
    for target in boards::targets() {
        println!("\n{target}, opt-level s, without the interrupt vectors\n");
        println!("| firmware | flash | .text | .rodata | .data | .bss |");
        println!("|---|---|---|---|---|---|");
        let mut measured: Vec<(&str, Sizes)> = Vec::new();
        for (features, what, base) in VARIANTS {
            let sizes = measure(toolchain, target, features)?;
            let before = measured.iter().find(|(name, _)| *name == base && !features.is_empty());
            let before = before.map_or_else(Sizes::default, |(_, sizes)| *sizes);
            println!(
                "| {what} | {} | {} | {} | {} | {} |",
                sizes.flash() - before.flash(),
                sizes.text - before.text,
                sizes.rodata - before.rodata,
                sizes.data - before.data,
                sizes.bss - before.bss
            );
            measured.push((features, sizes));
        }
    }
    Ok(())
}

fn measure(toolchain: Toolchain, target: &str, features: &str) -> Result<Sizes> {
    // Behind the sign, because the list may be empty.
    let line = format!("build --quiet --release --package {PACKAGE} --features={features}");
    let build = toolchain.cargo(&line, target);
    build.dir("examples/firmware").run()?;
    let path = root().join(boards::TARGET_DIR).join(target).join("release").join(PACKAGE);
    let elf = std::fs::read(&path).map_err(|error| format!("{}: {error}", path.display()))?;
    sections(&elf).ok_or_else(|| format!("{}: not an ELF file of 32 bits", path.display()))
}

/// Reads the table of sections: of an ELF file only what a page of its specification says.
fn sections(elf: &[u8]) -> Option<Sizes> {
    let half = |at: usize| Some(usize::from(u16::from_le_bytes(*elf.get(at..)?.first_chunk()?)));
    let word = |at: usize| Some(u32::from_le_bytes(*elf.get(at..)?.first_chunk()?) as usize);
    if elf.get(..5)? != b"\x7fELF\x01" {
        return None;
    }
    let (table, entry, count, names) = (word(32)?, half(46)?, half(48)?, half(50)?);
    let header = |index: usize| table + index * entry;
    let names = word(header(names) + 16)?;
    let mut sizes = Sizes::default();
    for index in 0..count {
        let at = header(index);
        let name = elf.get(names + word(at)?..)?.split(|&byte| byte == 0).next()?;
        let size = word(at + 20)? as i64;
        match name {
            b".text" => sizes.text += size,
            b".rodata" => sizes.rodata += size,
            b".data" => sizes.data += size,
            b".bss" => sizes.bss += size,
            _ => {}
        }
    }
    Some(sizes)
}
