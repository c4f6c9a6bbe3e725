module example.com/untested

go 1.26.0
