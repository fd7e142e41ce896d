/* Opens each library that is named, as Java's System.load does, and says whether it could. */
#include <dlfcn.h>
#include <stdio.h>

int main(int count, char **names) {
    for (int i = 1; i < count; i++) {
        void *handle = dlopen(names[i], RTLD_LAZY);
        printf("%s\n", handle ? "" : dlerror());
    }
    return 0;
}
