/* libgreet: one function; with FORMAL the newer release that has a second one. */
const char *greet(void)
{
    return "hello";
}

#ifdef FORMAL
const char *greet_formally(void)
{
    return "good morning";
}
#endif
