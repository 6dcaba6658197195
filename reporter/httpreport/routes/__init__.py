"""Turn paths of requests into routes: `/users/17` into `/users/{n}`."""
