import de.bwaldvogel.mongo.MongoCollection;
import de.bwaldvogel.mongo.backend.Index;
import de.bwaldvogel.mongo.backend.IndexKey;
import de.bwaldvogel.mongo.backend.Utils;
import de.bwaldvogel.mongo.bson.Document;
import de.bwaldvogel.mongo.bson.ObjectId;
import java.time.Instant;
import java.util.Collection;
import java.util.Collections;
import java.util.HashMap;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.Set;

/**
 * A non-unique index of its first field, for equality and {@code $in}; any other query scans. It lives in
 * memory and is filled when a file is opened. For these two conditions it is exact; what else a query asks the
 * library holds against every document found.
 */
final class HashIndex extends Index<Object> {
    private final Map<Object, Set<Object>> positions = new HashMap<>();
    private final String field;
    private final boolean inner; // the field is one of an inner document
    private long count;

    /** Sparse to the library, since documents without the field are not in it: a query for null scans. */
    HashIndex(String name, List<IndexKey> keys) {
        super(name, keys, true);
        field = keys.get(0).getKey();
        inner = field.contains(".");
    }

    @Override
    public synchronized void add(Document document, Object position, MongoCollection<Object> collection) {
        for (Object value : valuesIn(document)) {
            // Most values of an identifier occur once; a growing set for each would be most of the index.
            positions.merge(value, Set.of(position), (some, one) -> {
                Set<Object> both = some.size() > 1 ? some : new LinkedHashSet<>(some);
                both.addAll(one);
                return both;
            });
            count++;
        }
    }

    @Override
    public synchronized Object remove(Document document) {
        Object position = PackedCollection.position(document.get("_id"));
        for (Object value : valuesIn(document)) {
            Set<Object> some = positions.get(value);
            if (some.size() == 1) {
                positions.remove(value);
            } else {
                some.remove(position);
            }
            count--;
        }
        return null; // the index of the ids says where the document is
    }

    @Override
    public synchronized void updateInPlace(
            Document before, Document after, Object position, MongoCollection<Object> collection) {
        if (!Objects.equals(found(before), found(after))) {
            remove(before);
            add(after, position, collection);
        }
    }

    @Override
    public boolean canHandle(Document query) {
        Collection<?> wanted = valuesWanted(query);
        return !wanted.isEmpty() && wanted.stream().allMatch(HashIndex::isIndexed);
    }

    @Override
    public synchronized Iterable<Object> getPositions(Document query) {
        Set<Object> found = new LinkedHashSet<>();
        for (Object value : valuesWanted(query)) {
            found.addAll(positions.getOrDefault(PackedCollection.normalized(value), Set.of()));
        }
        return found;
    }

    private Collection<?> valuesWanted(Document query) {
        Object condition = query.get(field);
        if (condition instanceof Document) {
            Object among = ((Document) condition).get("$in");
            return among instanceof Collection ? (Collection<?>) among : List.of();
        }
        return Collections.singleton(condition);
    }

    /** An array is found by each of its elements. */
    private Set<Object> valuesIn(Document document) {
        Object found = found(document);
        if (!(found instanceof Collection)) {
            return isIndexed(found) ? Set.of(PackedCollection.normalized(found)) : Set.of();
        }
        Set<Object> values = new LinkedHashSet<>();
        for (Object value : (Collection<?>) found) {
            if (isIndexed(value)) {
                values.add(PackedCollection.normalized(value));
            }
        }
        return values;
    }

    private Object found(Document document) {
        return inner ? Utils.getSubdocumentValueCollectionAware(document, field) : document.get(field);
    }

    /** Types whose equality leaves no doubt; null, patterns and documents have rules of their own. */
    private static boolean isIndexed(Object value) {
        return value instanceof String
                || value instanceof Number
                || value instanceof Instant
                || value instanceof Boolean
                || value instanceof ObjectId;
    }

    @Override
    public Object getPosition(Document document) {
        return null; // as above
    }

    @Override
    public void checkAdd(Document document, MongoCollection<Object> collection) {}

    @Override
    public void checkUpdate(Document before, Document after, MongoCollection<Object> collection) {}

    @Override
    public void drop() {}

    @Override
    public synchronized long getCount() {
        return count;
    }

    /** Never says that it has to be filled: the collection has done so. */
    @Override
    public boolean isEmpty() {
        return false;
    }

    @Override
    public long getDataSize() {
        return 0;
    }
}
