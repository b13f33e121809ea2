/* Random numbers, not for secrets.
 *
 * struct rng draws one after the other: xoshiro256** seeded by splitmix64 (Blackman and Vigna,
 * "Scrambled linear pseudorandom number generators", 2018). Each owner has its own state: the same
 * seed gives the same numbers whatever else runs.
 *
 * rng_units_at remembers nothing: a number is a function of its seed and place, whatever was drawn
 * before. It is Philox 4x32-10 (Salmon, Moraes, Dror and Shaw, "Parallel random numbers: as easy as
 * 1, 2, 3", 2011), the seed being the key and the place the counter. */
#ifndef BASE_RNG_H
#define BASE_RNG_H

#include <stdint.h>

struct rng {
    uint64_t state[4];
};

static inline void rng_seed(struct rng *r, uint64_t seed)
{
    for (int i = 0; i < 4; i++) {
        uint64_t z = seed += 0x9e3779b97f4a7c15u;
        z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
        z = (z ^ z >> 27) * 0x94d049bb133111ebu;
        r->state[i] = z ^ z >> 31;
    }
}

static inline uint64_t rng_u64(struct rng *r)
{
    uint64_t *s = r->state;
    const uint64_t five = s[1] * 5, result = (five << 7 | five >> 57) * 9, t = s[1] << 17;
    s[2] ^= s[0];
    s[3] ^= s[1];
    s[1] ^= s[2];
    s[0] ^= s[3];
    s[2] ^= t;
    s[3] = s[3] << 45 | s[3] >> 19;
    return result;
}

/* Uniform in [0, 1), 53 bits. */
static inline double rng_unit(struct rng *r)
{
    return (double)(rng_u64(r) >> 11) * 0x1p-53;
}

/* Uniform in [0, n), n > 0. The bias is below n / 2^64. */
static inline uint64_t rng_below(struct rng *r, uint64_t n)
{
    return (uint64_t)((unsigned __int128)rng_u64(r) * n >> 64);
}

/* A counter of four words becomes four random ones. */
static inline void rng_philox(uint32_t x[4], const uint32_t key[2])
{
    uint32_t k0 = key[0], k1 = key[1];
    for (int round = 0; round < 10; round++, k0 += 0x9e3779b9u, k1 += 0xbb67ae85u) {
        const uint64_t a = (uint64_t)0xd2511f53u * x[0], b = (uint64_t)0xcd9e8d57u * x[2];
        x[0] = (uint32_t)(b >> 32) ^ x[1] ^ k0;
        x[1] = (uint32_t)b;
        x[2] = (uint32_t)(a >> 32) ^ x[3] ^ k1;
        x[3] = (uint32_t)a;
    }
}

/* Two numbers of one seed and place, independent of each other: uniform in [0, 1), 53 bits. */
static inline void rng_units_at(uint64_t seed, uint64_t place, double unit[2])
{
    const uint32_t key[2] = { (uint32_t)seed, (uint32_t)(seed >> 32) };
    uint32_t x[4] = { (uint32_t)place, (uint32_t)(place >> 32), 0, 0 };
    rng_philox(x, key);
    unit[0] = (double)(((uint64_t)x[1] << 32 | x[0]) >> 11) * 0x1p-53;
    unit[1] = (double)(((uint64_t)x[3] << 32 | x[2]) >> 11) * 0x1p-53;
}

/* The first of them. */
static inline double rng_unit_at(uint64_t seed, uint64_t place)
{
    double unit[2];
    rng_units_at(seed, place, unit);
    return unit[0];
}

#endif
