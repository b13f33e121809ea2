/* No code: the package exists to pin a dependency. */
