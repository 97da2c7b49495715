package lab_test

// childEnv makes the test binary a child of a test.
const childEnv = "HOOKLAB_LAB_TEST_CHILD"

func runChild(string) int { return 1 }
