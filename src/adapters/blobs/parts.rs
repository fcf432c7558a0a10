//! Cutting what comes in chunks of any size into parts of one size, as stores take them.

use bytes::{Bytes, BytesMut};

/// The next part, once more has come than it holds; else all of the chunk waits in `rest`. So what is there at the end is never empty
/// unless nothing came, and at most a part. To be called until there is none.
pub(in crate::adapters) fn next_part(rest: &mut BytesMut, chunk: &mut Bytes, part_bytes: usize) -> Option<Bytes> {
    let missing = part_bytes - rest.len();
    if chunk.len() <= missing {
        rest.extend_from_slice(&std::mem::take(chunk));
        return None;
    }
    rest.extend_from_slice(&chunk.split_to(missing));
    Some(std::mem::take(rest).freeze())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cut(chunks: &[usize]) -> (Vec<usize>, usize) {
        let (mut rest, mut parts, mut all) = (BytesMut::new(), Vec::new(), Vec::new());
        let mut next = (0..=u8::MAX).cycle();
        let mut came = Vec::new();
        for size in chunks {
            let mut chunk: Bytes = next.by_ref().take(*size).collect();
            came.extend_from_slice(&chunk);
            while let Some(part) = next_part(&mut rest, &mut chunk, 4) {
                parts.push(part.len());
                all.extend_from_slice(&part);
            }
        }
        all.extend_from_slice(&rest);
        assert_eq!(all, came);
        (parts, rest.len())
    }

    #[test]
    fn parts_are_of_one_size_whatever_comes_and_the_last_is_kept() {
        assert_eq!(cut(&[]), (vec![], 0));
        assert_eq!(cut(&[0, 3, 1]), (vec![], 4));
        assert_eq!(cut(&[4, 0, 1]), (vec![4], 1));
        assert_eq!(cut(&[3, 3, 3]), (vec![4, 4], 1));
        assert_eq!(cut(&[17]), (vec![4; 4], 1));
    }
}
