module paceline/examples/streams

go 1.19
