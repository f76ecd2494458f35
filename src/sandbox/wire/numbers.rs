//! The small primes that a client has to find: its proof of work.

/// Two different primes between 2^30 and 2^31, the smaller first: their product is the client's proof of work.
pub fn two_primes() -> (u32, u32) {
    let (one, other) = (small_prime(), small_prime());
    if one == other {
        two_primes()
    } else {
        (one.min(other), one.max(other))
    }
}

fn small_prime() -> u32 {
    loop {
        let candidate = rand::random_range(1u32 << 30..1 << 31) | 1;
        if is_prime(candidate) {
            return candidate;
        }
    }
}

/// Miller and Rabin's test; with these bases it errs on no number below 3,215,031,751.
fn is_prime(n: u32) -> bool {
    if n < 11 {
        return matches!(n, 2 | 3 | 5 | 7);
    }
    if n.is_multiple_of(2) {
        return false;
    }
    let n = u64::from(n);
    let twos = (n - 1).trailing_zeros();
    [2, 3, 5, 7].into_iter().all(|base| {
        let mut x = power(base, (n - 1) >> twos, n);
        if x == 1 || x == n - 1 {
            return true;
        }
        (1..twos).any(|_| {
            x = x * x % n;
            x == n - 1
        })
    })
}

fn power(mut base: u64, mut exponent: u64, modulus: u64) -> u64 {
    let mut result = 1;
    base %= modulus;
    while exponent > 0 {
        if exponent & 1 == 1 {
            result = result * base % modulus;
        }
        base = base * base % modulus;
        exponent >>= 1;
    }
    result
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn small_primes_are_told_from_composites() {
        let sieve = |n: u32| n > 1 && (2..n).take_while(|d| d * d <= n).all(|d| !n.is_multiple_of(d));
        assert!((0..5000).all(|n| is_prime(n) == sieve(n)));
        assert!(is_prime(2_147_483_647));
        assert!(!is_prime(2_147_483_641));
        assert!(!is_prime(1_373_653 * 2 - 1));
    }

    #[test]
    fn the_product_of_two_primes_is_positive_and_found_again() {
        let (p, q) = two_primes();
        assert!(p < q && p >= 1 << 30);
        let pq = u64::from(p) * u64::from(q);
        assert!(pq < 1 << 63);
        assert_eq!(grammers_crypto::factorize(pq), (p.into(), q.into()));
    }
}
