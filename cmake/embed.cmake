# cmake -DIN="file;file" -DOUT=file.c -DNAME=symbol [-DTEXT=ON] -P embed.cmake: files, joined, as a
# C array and its length; as TEXT, a string: without the lines that include files of ours, which are
# joined too.
if(TEXT)
    set(type "char")
    foreach(file ${IN})
        file(READ ${file} text)
        string(REGEX REPLACE "#include \"[^\n]*\n" "" text "${text}")
        string(APPEND all "${text}\n")
    endforeach()
    file(WRITE ${OUT}.joined "${all}")
    file(READ ${OUT}.joined bytes HEX)
    set(end "0x00,")
else()
    set(type "unsigned char")
    file(READ ${IN} bytes HEX)
endif()
string(REGEX REPLACE "(................................)" "\\1\n" bytes "${bytes}")
string(REGEX REPLACE "([0-9a-f][0-9a-f])" "0x\\1," bytes "${bytes}")
file(WRITE ${OUT} "#include <stddef.h>

extern const ${type} ${NAME}[];
extern const size_t ${NAME}_bytes;
const ${type} ${NAME}[] = {
${bytes}${end}
};
const size_t ${NAME}_bytes = sizeof ${NAME};
")
