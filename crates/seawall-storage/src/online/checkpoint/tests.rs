use proptest::prelude::*;
use seawall_base::ErrorKind;

use super::*;

/// The file of a state.
fn encoded(state: &[u8]) -> Vec<u8> {
    file::pieces(state, Hash::of(state)).flat_map(std::borrow::Cow::into_owned).collect()
}

#[test]
fn state_files_come_back_at_every_block_boundary() {
    for length in [0, 1, (1 << 20) - 1, 1 << 20, (1 << 20) + 1, 3 << 20] {
        let state: Vec<u8> = (0..length).map(|i| (i * 7 + i / 251) as u8).collect();
        let encoded = encoded(&state);
        assert_eq!(file::decode(Path::new("x"), encoded.clone()).unwrap(), state);
        for cut in [0, 63, 64, encoded.len() / 2, encoded.len().saturating_sub(1)] {
            if cut < encoded.len() {
                assert_eq!(
                    file::decode(Path::new("x"), encoded[..cut].to_vec()).unwrap_err().kind(),
                    ErrorKind::Corrupt
                );
            }
        }
    }
}

proptest! {
    #[test]
    fn any_flipped_bit_of_a_state_file_is_loud(
        state in prop::collection::vec(any::<u8>(), 0..300), at in any::<prop::sample::Index>(), bit in 0..8u32
    ) {
        let mut encoded = encoded(&state);
        let at = at.index(encoded.len());
        encoded[at] ^= 1 << bit;
        let error = file::decode(Path::new("x"), encoded).unwrap_err();
        prop_assert_eq!(error.kind(), ErrorKind::Corrupt);
    }
}
