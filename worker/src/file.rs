//! Files that a function has left, which may have put anything in their place.

use std::fs::File;
use std::io::{Error, ErrorKind, Read as _, Result};
use std::path::Path;

use rustix::fs::{Mode, OFlags};

/// What to do with a link.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Links {
    /// Read what it names.
    Follow,
    /// Refuse it: it could name a file that is none of the attempt's.
    Refuse,
}

/// A regular file, unless it has more than `max` bytes.
pub fn whole(path: &Path, links: Links, max: u64) -> Result<Vec<u8>> {
    let file = open(path, links)?;
    match file.metadata()?.len() {
        size if size <= max => up_to(max, file),
        size => {
            let why = format!("it has {size} bytes; at most {max} are carried");
            Err(Error::new(ErrorKind::FileTooLarge, why))
        }
    }
}

/// The first bytes of a regular file, at most `max`.
pub fn start(path: &Path, links: Links, max: u64) -> Result<Vec<u8>> {
    up_to(max, open(path, links)?)
}

fn up_to(max: u64, file: File) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    file.take(max).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// Opens a regular file. Anything else is refused without being opened: to open a FIFO waits for somebody
/// who writes to it, and to open a device may do anything.
fn open(path: &Path, links: Links) -> Result<File> {
    let found = match links {
        Links::Follow => path.metadata(),
        Links::Refuse => path.symlink_metadata(),
    };
    let regular = |is_file: bool| match is_file {
        true => Ok(()),
        false => Err(Error::new(ErrorKind::InvalidInput, "it is no regular file")),
    };
    regular(found?.is_file())?;
    // Whatever has taken its place since is not waited for.
    let mut flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
    flags.set(OFlags::NOFOLLOW, links == Links::Refuse);
    let file = File::from(rustix::fs::open(path, flags, Mode::empty())?);
    regular(file.metadata()?.is_file())?;
    Ok(file)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn a_file_is_read_as_far_as_it_may_be_and_nothing_else_is() {
        let dir = tempfile::tempdir().expect("a folder");
        let (file, link) = (dir.path().join("file"), dir.path().join("link"));
        std::fs::write(&file, "text").expect("written");
        symlink(&file, &link).expect("linked");
        assert_eq!(start(&file, Links::Refuse, 3).expect("a file"), b"tex");
        let big = whole(&file, Links::Refuse, 3).expect_err("it has four");
        assert_eq!(big.to_string(), "it has 4 bytes; at most 3 are carried");
        assert_eq!(whole(&link, Links::Follow, 4).expect("a file"), b"text");
        let why = |path: &Path, links| whole(path, links, 9).expect_err("it is none").kind();
        assert_eq!(why(&link, Links::Refuse), ErrorKind::InvalidInput);
        assert_eq!(why(dir.path(), Links::Follow), ErrorKind::InvalidInput);
        assert_eq!(why(Path::new("/dev/null"), Links::Follow), ErrorKind::InvalidInput);
        assert_eq!(why(&dir.path().join("none"), Links::Follow), ErrorKind::NotFound);
    }
}
