package lab

type server struct{}

func (s *server) close() error { return nil }

func (l *Lab) listen() error { return nil }
