/* libdoor: a library that uses the newer libgreet, as libcurl uses libssl. */
const char *greet_formally(void);

const char *open_door(void)
{
    return greet_formally();
}
