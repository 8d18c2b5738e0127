//! How PVC's installer is told which disk is meant: `detect:NAME:SIZE:INDEX`.
//!
//! Its `detect.py` goes through the lines of `lsscsi -s`: NAME must be a part of the line in any case, SIZE exactly its last
//! column, and INDEX counts the lines that fit. NVMe drives are in the same list (lsscsi 0.30 and later); where they are
//! not, `nvme list` is gone through in the same way, with the model and the size within three per cent.

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Shown {
    /// Its model, or what stands for a volume.
    pub name: String,
    /// Its maker, whose name may be in the line or not.
    pub maker: String,
    pub bytes: u64,
}

/// Characters of a model's word that are sure to be in `lsscsi`. SCSI's product identification has sixteen (SPC-4,
/// "Standard INQUIRY data"); for SATA drives the kernel takes the first sixteen of the model, which may begin with the
/// maker's name (`SAMSUNG `) where the BMC leaves it out.
const WORD: usize = 8;

/// The text for a disk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Detect {
    pub text: String,
    /// How many disks fit it.
    pub fit: usize,
    /// Whether there are others that fit but for a slightly different size. `detect.py` takes the size of the *last* line for
    /// the wanted one when their numbers differ by three per cent at most.
    pub near: bool,
}

/// The text for one of several disks, which are in the order in which the kernel is assumed to list them. `None` when the
/// disk has no word for a name.
pub(super) fn detect(disks: &[Shown], which: usize) -> Option<Detect> {
    let disk = disks.get(which)?;
    let size = size(disk.bytes)?;
    let named = |other: &Shown, word: &str| contains(&other.name, word) || contains(&other.maker, word);
    let equal = |other: &Shown| self::size(other.bytes).as_ref() == Some(&size);
    let close = |other: &Shown| self::size(other.bytes).is_some_and(|other| near(&other, &size));
    // The word that fewest other disks share; of several, a model number rather than a brand.
    let brand = |word: &str| !word.bytes().any(|byte| byte.is_ascii_digit());
    let share = |word: &str| disks.iter().filter(|other| close(other) && named(other, word)).count();
    let word = words(&disk.name).min_by_key(|word| (share(word), brand(word)))?;
    let fits = |other: &&Shown| equal(other) && named(other, word);
    let fit = disks.iter().filter(fits).count();
    let before = disks[..which].iter().filter(fits).count();
    Some(Detect { text: format!("detect:{word}:{size}:{before}"), fit, near: share(word) > fit })
}

/// Whether `detect.py` would take one size for the other: it compares the numbers without their units.
fn near(a: &str, b: &str) -> bool {
    let number = |text: &str| text.trim_end_matches(char::is_alphabetic).parse::<f64>().unwrap_or(0.0);
    let (a, b) = (number(a), number(b));
    (a - b).abs() <= 0.03 * b
}

/// The words of a model that can be asked for: no spaces and colons by `detect.py`, no others by shells and iPXE.
fn words(name: &str) -> impl Iterator<Item = &str> {
    let fine = |byte: u8| byte.is_ascii_alphanumeric() || b"-._".contains(&byte);
    let words = name.split(move |c: char| !c.is_ascii() || !fine(c as u8)).map(|word| &word[..word.len().min(WORD)]);
    words.filter(|word| tells_apart(word))
}

/// Whether a word is not in other columns of `lsscsi`: two letters may be anywhere, digits in addresses, sizes at the end.
fn tells_apart(word: &str) -> bool {
    const ANYWHERE: [&str; 9] = ["disk", "dev", "ata", "sata", "sas", "scsi", "nvme", "ssd", "hdd"];
    let letters = word.trim_start_matches(|c: char| c.is_ascii_digit() || c == '.').to_ascii_lowercase();
    let size = letters.len() < word.len() && ["kb", "mb", "gb", "tb", "pb"].contains(&letters.as_str());
    let lower = word.to_ascii_lowercase();
    word.len() > 2 && !letters.is_empty() && !size && !ANYWHERE.contains(&lower.as_str())
}

fn contains(name: &str, word: &str) -> bool {
    name.to_ascii_lowercase().contains(&word.to_ascii_lowercase())
}

/// A size as `lsscsi -s` prints it: three digits, cut and not rounded, in powers of a thousand. Seen with lsscsi 0.31:
/// 480103981056 is `480GB`, 479559942144 is `479GB`, 1920383410176 is `1.92TB`, 64023257088 is `64.0GB`.
pub(super) fn size(bytes: u64) -> Option<String> {
    let units = ["kB", "MB", "GB", "TB", "PB"];
    let mut power = 0;
    let mut scale = 1000_u64;
    while bytes / scale >= 1000 {
        power += 1;
        scale *= 1000;
    }
    let (whole, rest) = (bytes / scale, bytes % scale);
    let unit = units.get(power).filter(|_| whole > 0)?;
    Some(match whole {
        0..=9 => format!("{whole}.{:02}{unit}", rest / (scale / 100)),
        10..=99 => format!("{whole}.{}{unit}", rest / (scale / 10)),
        _ => format!("{whole}{unit}"),
    })
}

/// What `lsscsi` shows of a volume, by the name of its controller. The controller's own name is not always in the line.
///
/// | controller (Redfish) | line of lsscsi | source |
/// |---|---|---|
/// | `PERC H755 Front` | `DELL     PERC H755 Front` | PVC takes the first word (redfish.py) |
/// | `BOSS-S1` | `ATA      DELLBOSS VD` | Dell's BOSS-S1 is a SATA RAID chip |
/// | `HPE Smart Array P408i-p SR Gen10` | `HPE      LOGICAL VOLUME` | Linux hpsa and smartpqi, SCSI-3 volumes |
/// | `MegaRAID 9560-8i 4GB` | `AVAGO    MR9560-8i` | Linux megaraid_sas; the number is in both |
/// | `ThinkSystem RAID 930-8i 2GB Flash` | `Lenovo   RAID 930-8i-2GB` | the same |
pub(super) fn volume_name(controller: &str) -> String {
    let lower = controller.to_ascii_lowercase();
    let words = || controller.split([' ', '(', ')', ',']).filter(|word| !word.is_empty());
    let known = [("perc", "PERC"), ("boss", "BOSS"), ("smart array", "LOGICAL"), ("hpe sr", "LOGICAL")];
    if let Some((_, shown)) = known.iter().find(|(part, _)| lower.contains(part)) {
        return (*shown).to_owned();
    }
    // Broadcom's numbers, `9560-8i`, whatever the seller puts in front of them.
    let numbered = |word: &&str| {
        let digits = word.trim_start_matches("MR").bytes().take_while(u8::is_ascii_digit).count();
        (3..=4).contains(&digits) && word.contains('-')
    };
    let number = words().find(numbered).map(|word| word.trim_start_matches("MR"));
    number.or_else(|| words().next()).unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_those_of_lsscsi() {
        let seen = [
            (480_103_981_056, "480GB"),
            (479_559_942_144, "479GB"),
            (1_920_383_410_176, "1.92TB"),
            (2_000_398_934_016, "2.00TB"),
            (999_653_638_144, "999GB"),
            (1_999_307_276_288, "1.99TB"),
            (7_681_501_126_656, "7.68TB"),
            (15_360_950_534_144, "15.3TB"),
            (10_000_831_348_736, "10.0TB"),
            (999_999_999_488, "999GB"),
            (1_000_000_000_000, "1.00TB"),
            (64_023_257_088, "64.0GB"),
            (9_999_999_999_488, "9.99TB"),
            (128_849_018_880, "128GB"),
        ];
        for (bytes, text) in seen {
            assert_eq!(size(bytes).as_deref(), Some(text), "{bytes}");
        }
        assert_eq!((size(0), size(999), size(u64::MAX)), (None, None, None));
    }

    fn disks(list: &[(&str, u64)]) -> Vec<Shown> {
        let shown = |(name, bytes): &(&str, u64)| Shown { name: (*name).into(), maker: "Maker".into(), bytes: *bytes };
        list.iter().map(shown).collect()
    }

    #[test]
    fn equal_disks_are_counted_and_others_are_not() {
        let list = disks(&[
            ("Samsung MZ7KH480HAHQ0D3", 480_103_981_056),
            ("Samsung MZ7KH960HAJR0D3", 960_197_124_096),
            ("Samsung MZ7KH480HAHQ0D3", 480_103_981_056),
            ("Dell Ent NVMe CM6 RI 1.92TB", 1_920_383_410_176),
            ("Dell Ent NVMe P5500 RI U.2 1.92TB", 1_920_383_410_176),
            ("", 1_920_383_410_176),
            ("480 GB", 1_920_383_410_176),
        ]);
        let of = |which| detect(&list, which).map(|found| (found.text, found.fit));
        assert_eq!(of(0), Some(("detect:MZ7KH480:480GB:0".into(), 2)));
        assert_eq!(of(2), Some(("detect:MZ7KH480:480GB:1".into(), 2)));
        assert_eq!(of(1), Some(("detect:MZ7KH960:960GB:0".into(), 1)));
        assert_eq!(of(3), Some(("detect:CM6:1.92TB:0".into(), 1)), "`Dell` is in another's name too");
        assert_eq!(of(4), Some(("detect:P5500:1.92TB:0".into(), 1)));
        assert_eq!((of(5), of(6), of(7)), (None, None, None));
    }

    #[test]
    fn sizes_that_the_installer_may_take_for_each_other_are_noticed() {
        let list = disks(&[("PERC", 479_559_942_144), ("PERC", 480_103_981_056), ("PERC", 4_790_000_000_000)]);
        let found = detect(&list, 0).unwrap();
        assert_eq!((found.text.as_str(), found.fit, found.near), ("detect:PERC:479GB:0", 1, true));
        assert!(!detect(&list, 2).unwrap().near, "4.79 is not 479");
        assert!(near("479GB", "480TB") && !near("465GB", "480GB"));
    }

    #[test]
    fn words_are_short_enough_for_a_sata_drives_inquiry() {
        let list = disks(&[("SSDSC2KG480G8R", 480_103_981_056)]);
        assert_eq!(detect(&list, 0).unwrap().text, "detect:SSDSC2KG:480GB:0");
        let shown = &"INTEL SSDSC2KG480G8R"[..16];
        assert!(shown.contains("SSDSC2KG"));
        assert_eq!(
            words("a'b; $(reboot) `x` Übung:word").collect::<Vec<_>>(),
            ["reboot", "bung", "word"],
            "nothing for a shell"
        );
    }

    #[test]
    fn volumes_are_named_as_the_kernel_shows_them() {
        let pairs = [
            ("PERC H755 Front", "PERC"),
            ("Dell PERC H740P Mini", "PERC"),
            ("BOSS-S1", "BOSS"),
            ("HPE Smart Array P408i-p SR Gen10", "LOGICAL"),
            ("HPE MR216i-p Gen11", "216i-p"),
            ("MegaRAID 9560-8i 4GB", "9560-8i"),
            ("ThinkSystem RAID 930-8i 2GB Flash", "930-8i"),
            ("AVAGO 3108 MegaRAID", "AVAGO"),
        ];
        for (controller, shown) in pairs {
            assert_eq!(volume_name(controller), shown, "{controller}");
        }
    }
}
