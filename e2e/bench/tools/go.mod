module vcproxy.io/e2e/bench

go 1.26.0
